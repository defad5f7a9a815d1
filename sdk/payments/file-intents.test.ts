/** Intents in a folder: one order of changes for all processes, whole or not at all, for nobody else's eyes. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { fileIntents, type PaymentIntent } from '../index.ts';

const root = mkdtempSync(join(tmpdir(), 'tally-intents-'));
after(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;
const newFolder = (): string => join(root, `f${++folders}`, 'payments');

const intent = (id: string): PaymentIntent => ({
  id,
  status: 'signed',
  ...{
    origin: 'http://platform',
    account: '',
    key: id,
    turn: 1,
    call: '',
    quote_id: '',
    nonce: id,
    network: '',
    asset: '',
    pay_to: '',
    label: '',
  },
  ...{ amount_micros: '1', offer: {}, approved_micros: '0', at_ms: Date.now(), expires_at_ms: 0, valid_before_s: 0 },
  ...{ cause: '', from: '', header: id, tx: '' },
});
const put = (folder: string, id: string) => fileIntents(folder).change(() => ({ put: [intent(id)], answer: id }));

test('what was changed is there for the next process, private to its owner', async () => {
  const folder = newFolder();
  assert.deepEqual(await fileIntents(folder).read(), []);
  assert.equal(await put(folder, 'a'), 'a');
  await put(folder, 'b');
  assert.deepEqual(
    (await fileIntents(folder).read()).map(({ id }) => id),
    ['a', 'b'],
  );
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  for (const name of readdirSync(folder)) assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name);
});

test('what somebody who died had not linked yet is no book', async () => {
  const folder = newFolder();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, '0123456789ab.tmp'), '{"gener', { mode: 0o600 });
  assert.deepEqual(await fileIntents(folder).read(), []);
  assert.equal(await put(folder, 'a'), 'a');
});

test('a book of an earlier version is read: its calls are those of their urls, of whichever account', async () => {
  const folder = newFolder();
  const { origin: _, account: __, ...old } = { ...intent('old'), call: 'POST https://platform.example:8443/v1/jobs' };
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const book = JSON.stringify({ generation: 7, intents: [old] });
  writeFileSync(join(folder, 'book-000000000007.json'), book, { mode: 0o600 });
  const [read] = await fileIntents(folder).read();
  assert.deepEqual(read, { ...old, origin: 'https://platform.example:8443', account: '' });
  await put(folder, 'new');
  assert.deepEqual((await fileIntents(folder).read())[0], read);
});

test('a decision that puts nothing writes nothing', async () => {
  const folder = newFolder();
  await fileIntents(folder).change(() => ({ put: [], answer: undefined }));
  assert.throws(() => readdirSync(folder), { code: 'ENOENT' });
});

test('old books go, so many that the slow still meet them', async () => {
  const folder = newFolder();
  for (let n = 0; n < 20; n += 1) await put(folder, `i${n}`);
  assert.equal(readdirSync(folder).length, 16);
  assert.equal((await fileIntents(folder).read()).length, 20);
});

test('a folder that others can read is refused, also for reading', async () => {
  const folder = newFolder();
  await put(folder, 'a');
  chmodSync(folder, 0o755);
  await assert.rejects(fileIntents(folder).read(), { code: 'payments_unreadable' });
  await assert.rejects(put(folder, 'b'), { code: 'payments_unreadable' });
});

test('a book that cannot be read stops everything: nobody pays on a guess', async () => {
  for (const text of ['{"intents":[', '{}', '']) {
    const folder = newFolder();
    await put(folder, 'a');
    writeFileSync(join(folder, 'book-000000000002.json'), text, { mode: 0o600 });
    await assert.rejects(fileIntents(folder).read(), { code: 'payments_unreadable' });
  }
});

test('what cannot be written is an error, and leaves what was there', async () => {
  const folder = newFolder();
  await put(folder, 'a');
  // a folder that stands in the way of the next book: even root cannot link over it
  mkdirSync(join(folder, 'book-000000000002.json'));
  await assert.rejects(fileIntents(folder).read(), { code: 'EISDIR' });
  rmSync(join(folder, 'book-000000000002.json'), { recursive: true });
  assert.deepEqual(
    (await fileIntents(folder).read()).map(({ id }) => id),
    ['a'],
  );
});

const SDK = pathToFileURL(join(import.meta.dirname, '..', 'index.ts')).href;
const CAP = 40;
/** Spends until the limit of a day is reached, telling each payment after it is kept. */
const SPENDER = `
  import { fileIntents, newPrivateKey, signerOfPrivateKey, spendGuard } from '${SDK}';
  const payee = { network: 'eip155:1', asset: '0x' + 'a'.repeat(40), payTo: '0x' + 'b'.repeat(40) };
  const guard = spendGuard({
    signer: signerOfPrivateKey(newPrivateKey()), intents: fileIntents(process.argv[2]),
    perPaymentMicros: 1n, perDayMicros: ${CAP}n, allow: [payee],
  });
  for (let n = 0; ; n += 1) {
    const id = process.pid * 10000 + n;
    const extra = { name: 'USD Coin', version: '2', quoteId: 'quo_' + id, authNonce: '0x' + String(id).padStart(64, '0') };
    const option = { scheme: 'exact', ...payee, amountMicros: 1n, maxTimeoutS: 60, extra, written: {} };
    const call = { idempotencyKey: 'key ' + id, method: 'POST', url: 'http://platform/', signal: undefined };
    try { await guard.pay({ error: '', options: [option] }, call); process.stdout.write('paid ' + call.idempotencyKey + '\\n'); }
    catch (fault) { if (fault.code === 'payment_above_limit') process.exit(0); console.error(fault); process.exit(1); }
  }
`;

interface Spender {
  child: ChildProcess;
  said: () => string;
  over: Promise<unknown>;
}

function spawnSpender(file: string, folder: string): Spender {
  const child = spawn(process.execPath, [file, folder], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout!, child.stderr!])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  return { child, said: () => said, over: once(child, 'close') };
}

/** Kills one a little after its first payment, or a little after it should have been. */
async function killedSoon(file: string, folder: string, afterMs: number): Promise<Spender> {
  const spender = spawnSpender(file, folder);
  await Promise.race([once(spender.child.stdout!, 'data'), spender.over]);
  await sleep(afterMs);
  spender.child.kill('SIGKILL');
  await spender.over;
  return spender;
}

test('[I-44] processes that spend at once and are killed stay within the limit of a day together; what was told is kept', async () => {
  const folder = newFolder();
  const file = join(root, 'spender.ts');
  writeFileSync(file, SPENDER);
  const victims = (async () => {
    const dead: Spender[] = [];
    for (const afterMs of [0, 3, 11]) dead.push(await killedSoon(file, folder, afterMs));
    return dead;
  })();
  const [survivor, dead] = [spawnSpender(file, folder), await victims];
  await survivor.over;
  assert.equal(survivor.child.exitCode, 0, survivor.said());
  const spent = (await fileIntents(folder).read()).filter(({ status }) => status === 'signed');
  assert.equal(spent.length, CAP);
  const told = [...dead, survivor].flatMap(({ said }) =>
    [...said().matchAll(/^paid (key [0-9]+)$/gm)].map(([, key]) => key),
  );
  const kept = new Set(spent.map(({ key }) => key));
  assert.ok(told.length >= CAP - dead.length, `${told.length} were told`);
  for (const key of told) assert.ok(kept.has(key!), key);
});
