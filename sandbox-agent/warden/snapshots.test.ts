/** Snapshots through a real warden: taken while work goes on, kept at the end of money, restored, verified, and after a restart. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { sealSecret, verifyAttestation } from '@tallystick/kernel/sealing';
import { temporaryFolder, ticketOf, until } from '../testing/rig.ts';
import { type Answer, type WardenProcess, wardenFor } from '../testing/warden-process.ts';
import { imageTask } from './image-work.ts';

const DISK = { disk_mib: 256 };
const NONCE = 'ab'.repeat(16);
const FIRST = `snp_${'1'.repeat(32)}`;
let numbers = 0;
const nextId = (): string => `snp_${String(++numbers).padStart(32, '0')}`;

type Hooks = Parameters<typeof wardenFor>[0];

function bench(warden: () => WardenProcess) {
  let execs = 0;
  const run = async (sandbox: string, line: string, more: object = {}): Promise<string> => {
    const id = `e${++execs}`;
    const at = `/v1/sandboxes/${sandbox}/execs`;
    const started = await warden().call('POST', at, { exec_id: id, argv: ['sh', '-c', line], ...more });
    assert.equal(started.status, 200, started.bytes.toString());
    const { end } = (await warden().call('GET', `${at}/${id}?wait_ms=20000`)).json;
    const { json } = await warden().call('GET', `${at}/${id}/output`);
    const pieces = json.chunks.map((chunk: { bytes_base64: string }) => Buffer.from(chunk.bytes_base64, 'base64'));
    return `${pieces.join('')}[${end.code ?? end.end}]`;
  };
  const create = (sandbox: string, changes: object = {}, paidMs = 300_000): Promise<Answer> =>
    warden().create(paidMs, { sandbox, ...DISK, ...changes }, ticketOf(paidMs, { sandbox }));
  const take = (sandbox: string, snapshot = nextId()): Promise<Answer> =>
    warden().call('POST', `/v1/sandboxes/${sandbox}/snapshots`, { snapshot, incarnation: 1 });
  const list = async () => (await warden().call('GET', '/v1/snapshots')).json.snapshots;
  const end = (sandbox: string) =>
    warden().call('POST', `/v1/sandboxes/${sandbox}/finish`, {
      incarnation: 1,
      reason: 'stopped_by_owner',
      at_us: null,
    });
  return { run, create, take, list, end };
}

const kept = (warden: WardenProcess, name: string): string => join(warden.folder, 'state', 'snapshots', name);

describe('snapshots of a machine', () => {
  let warden: WardenProcess;
  const cleanups: (() => unknown)[] = [];
  const { run, create, take, list, end } = bench(() => warden);

  before(async () => {
    const context = { after: (cleanup: () => unknown) => cleanups.push(cleanup) };
    warden = await wardenFor(context as unknown as Hooks);
  });
  after(async () => {
    for (const cleanup of cleanups) await cleanup();
  });

  test('taken while it works, and started from in another sandbox with a larger disk: same files, new owner', async () => {
    assert.equal((await create('s0')).status, 200);
    const files =
      'mkdir d && echo one > d/a && ln -s a d/l && ln d/a d/h && chmod 750 d/a && echo deleted-text > g && sync && rm g';
    assert.equal(await run('s0', files), '[0]');
    await warden.call('POST', '/v1/sandboxes/s0/execs', {
      exec_id: 'busy',
      argv: ['sh', '-c', 'while :; do echo x >> log; done'],
    });
    const { status, json: page } = await take('s0', FIRST);
    assert.equal(status, 200, JSON.stringify(page));
    assert.deepEqual([page.snapshot, page.sandbox, page.disk_mib, page.cause], [FIRST, 's0', 256, 'asked']);
    assert.ok(page.bytes > 0 && page.bytes < 16 << 20, `${page.bytes} bytes`);
    assert.equal(page.sha256, await imageTask({ file: kept(warden, `${FIRST}.img`), digest: true }));
    assert.ok(!readFileSync(kept(warden, `${FIRST}.img`)).includes('deleted-text'), 'what was deleted is not in it');
    assert.deepEqual((await take('s0', FIRST)).json, page, 'a repetition takes no other');
    const busy = (await warden.call('GET', '/v1/sandboxes/s0/execs/busy')).json;
    assert.equal(busy.state, 'running', 'its processes go on');
    await end('s0');
    const from = { snapshot: FIRST, sha256: page.sha256 };
    const made = await create('s1', { from, disk_mib: 320 });
    assert.equal(made.status, 200, made.bytes.toString());
    const look = 'cat d/a d/l d/h; stat -c "%n %U %a %h" d d/a; ls; test -s log && echo more >> d/a && tail -1 d/a';
    assert.equal(await run('s1', look), 'one\none\none\nd user 755 2\nd/a user 750 2\nd\nlog\nmore\n[0]');
    const room = 'test "$(df -m --output=size . | tail -1)" -gt 290';
    assert.equal(await run('s1', room), '[0]', 'the room has grown');
    await end('s1');
  });

  test('a smaller disk, one that lives in memory, and what is not there are refused', async () => {
    const { sha256 } = (await list()).find((one: { snapshot: string }) => one.snapshot === FIRST);
    const from = { snapshot: FIRST, sha256 };
    const small = await create('s2', { from, disk_mib: 128 });
    assert.deepEqual(
      [small.json.code, small.json.cap, small.json.asked, small.json.available],
      ['snapshot_too_large', 'disk_mib', 128, 256],
    );
    const none = await create('s3', { from: { snapshot: nextId(), sha256 } });
    assert.equal(none.json.code, 'unknown_snapshot');
    assert.equal((await create('s4', { disk_mib: 64 })).status, 200);
    const memory = await take('s4');
    assert.deepEqual(
      [memory.json.code, memory.json.cap, memory.json.available],
      ['disk_in_memory', 'disk_mib_min', 256],
    );
    await end('s4');
    assert.equal((await take('s4')).json.code, 'sandbox_ended');
    assert.equal((await take('none')).json.code, 'unknown_sandbox');
    assert.equal(
      (await warden.call('POST', '/v1/sandboxes/s4/snapshots', { snapshot: '../x', incarnation: 1 })).json.code,
      'invalid',
    );
    assert.equal((await warden.call('DELETE', '/v1/snapshots/..%2Fx')).json.code, 'invalid');
    assert.equal((await create('s5', { image_digest: '0'.repeat(64) })).json.code, 'image_digest_mismatch');
  });

  test('[I-36] one flipped byte is refused before anything starts, as an error of its own', async () => {
    assert.equal((await create('s6')).status, 200);
    assert.equal(await run('s6', 'head -c 300000 /dev/urandom > f && sync'), '[0]');
    const { json: page } = await take('s6');
    await end('s6');
    const image = openSync(kept(warden, `${page.snapshot}.img`), 'r+');
    const label = 1_024 + 0x78; // the volume's name: a byte that nothing but the digest looks at
    writeSync(image, Buffer.from('x'), 0, 1, label);
    closeSync(image);
    const refused = await create('s7', { from: { snapshot: page.snapshot, sha256: page.sha256 } });
    assert.deepEqual([refused.status, refused.json.code], [422, 'snapshot_digest_mismatch']);
    assert.equal((await warden.call('GET', '/v1/sandboxes/s7')).json.ended.reason, 'start_failed');
    const otherName = await create('s8', { from: { snapshot: FIRST, sha256: page.sha256 } });
    assert.equal(otherName.json.code, 'snapshot_digest_mismatch');
  });

  test('[I-30] a released secret is in the machine and in no snapshot of it', async () => {
    const value = `tok-${randomBytes(18).toString('hex')}`;
    assert.equal((await create('s9')).status, 200);
    const { json } = await warden.call('GET', `/v1/sandboxes/s9/attestation?nonce=${NONCE}`);
    const told = verifyAttestation(json.envelope, { nonce: NONCE, sandbox: 's9', wardenKey: warden.ready.public_key });
    assert.ok(!('error' in told));
    const seeds = { seed: randomBytes(32), salt: randomBytes(32) };
    const place = { sandbox: 's9', incarnation: 1, name: 'TOKEN' };
    const { sealed, commitment } = sealSecret(
      Buffer.from(told.sealing_key, 'base64'),
      place,
      Buffer.from(value),
      seeds,
    );
    const secrets = [{ name: 'TOKEN', sealed_base64: sealed.toString('base64'), commitment }];
    const order = { incarnation: 1, sealing_key: told.sealing_key, secrets };
    assert.equal((await warden.call('POST', '/v1/sandboxes/s9/secrets', order)).status, 200);
    const { length } = value;
    assert.equal(await run('s9', 'printf %s "$TOKEN" | wc -c', { secrets: ['TOKEN'] }), `${length}\n[0]`);
    const { json: page } = await take('s9');
    assert.ok(!readFileSync(kept(warden, `${page.snapshot}.img`)).includes(value));
    const made = await create('s10', { from: { snapshot: page.snapshot, sha256: page.sha256 } });
    assert.equal(made.status, 200);
    assert.equal(await run('s10', 'ls -A /run/secrets | wc -l'), '0\n[0]');
    await end('s9');
    await end('s10');
  });

  test('the lease ends while a snapshot is taken, or has ended: it stands still, and the disk is kept as announced', async () => {
    const snapshot = nextId();
    assert.equal((await create('s11', { keep_as: snapshot, grace_ms: 700 }, 2_000)).status, 200);
    assert.equal(await run('s11', 'echo last > words'), '[0]');
    const state = async () => (await warden.call('GET', '/v1/sandboxes/s11')).json;
    await until(async () => (await state()).state === 'frozen');
    assert.equal((await take('s11')).status, 200, 'also of one that waits for money');
    assert.notEqual((await state()).state, 'running');
    await until(async () => (await state()).state === 'ended');
    await until(async () => (await list()).some((one: { snapshot: string }) => one.snapshot === snapshot));
    const page = (await list()).find((one: { snapshot: string }) => one.snapshot === snapshot);
    assert.deepEqual([page.cause, page.sandbox, page.disk_mib], ['on_end', 's11', 256]);
    assert.equal((await create('s12', { from: { snapshot, sha256: page.sha256 } })).status, 200);
    assert.equal(await run('s12', 'cat words'), 'last\n[0]');
    await end('s12');
  });

  test('what its owner stops is not kept', async () => {
    const snapshot = nextId();
    assert.equal((await create('s13', { keep_as: snapshot })).status, 200);
    await end('s13');
    assert.ok(!readdirSync(kept(warden, '')).some((name) => name.startsWith(snapshot)));
  });

  test('removed, it is gone; removing it again changes nothing', async () => {
    for (const _ of [1, 2]) assert.equal((await warden.call('DELETE', `/v1/snapshots/${FIRST}`)).status, 200);
    assert.ok(!(await list()).some((one: { snapshot: string }) => one.snapshot === FIRST));
    assert.ok(!existsSync(kept(warden, `${FIRST}.img`)));
  });
});

test('a warden that starts again knows its snapshots and clears away what was half made', async (context) => {
  const folder = temporaryFolder();
  const cleanups: (() => unknown)[] = [];
  const hooks = { after: (cleanup: () => unknown) => cleanups.unshift(cleanup) } as unknown as Hooks;
  context.after(async () => {
    for (const cleanup of cleanups) await cleanup();
    rmSync(folder, { recursive: true, force: true });
  });
  const first = await wardenFor(hooks, folder);
  const before = bench(() => first);
  assert.equal((await before.create('s0')).status, 200);
  assert.equal(await before.run('s0', 'echo kept > f'), '[0]');
  const { json: page } = await before.take('s0');
  first.process.kill('SIGKILL');
  await once(first.process, 'exit');
  for (const name of [`${nextId()}.img`, `${nextId()}.img.new`, `${page.snapshot}.json.new`])
    writeFileSync(kept(first, name), 'half');
  const [torn, moved] = [nextId(), nextId()];
  copyFileSync(kept(first, `${page.snapshot}.img`), kept(first, `${moved}.img.new`));
  const { sha256, bytes, taken_at_us, ...source } = page;
  writeFileSync(kept(first, `${moved}.moved`), JSON.stringify({ ...source, snapshot: moved, cause: 'on_end' }));
  writeFileSync(kept(first, `${torn}.json`), JSON.stringify(page).slice(0, 40));
  const second = await wardenFor(hooks, folder);
  const after = bench(() => second);
  await until(async () => (await after.list()).length === 2);
  const [known, finished] = await after.list();
  assert.deepEqual(known, page);
  assert.deepEqual([finished.snapshot, finished.cause], [moved, 'on_end'], 'what was moved is kept');
  const names = [page.snapshot, moved].flatMap((id) => [`${id}.img`, `${id}.json`]);
  assert.deepEqual(readdirSync(kept(second, '')).sort(), names.sort());
  const made = await after.create('s1', { from: { snapshot: page.snapshot, sha256: page.sha256 } });
  assert.equal(made.status, 200, made.bytes.toString());
  assert.equal(await after.run('s1', 'cat f'), 'kept\n[0]');
  const heir = await after.create('s2', { from: { snapshot: moved, sha256: finished.sha256 } });
  assert.equal(heir.status, 200, heir.bytes.toString());
});
