/**
 * An agent whose wallet pays what its calls need, on a whole platform: from the command line and over MCP.
 * Promise: within its limits nobody is asked, above them a person is, and no call is ever paid twice, whoever dies in between.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { bookProblems } from './harness/books.ts';
import { type Platform, ROOT, startPlatform, temporaryFolder } from './harness/platform.ts';
import { until } from './harness/until.ts';

const TALLY = join(ROOT, 'terminal', 'bin', 'tally.mjs');
const FUNDED_MICROS = 10_000_000;
const PASSPHRASE = 'of an agent';

/** A machine without money stands still for so long: time enough to look at it. */
const GRACE_MS = 60_000;

type Value = Record<string, unknown>;

describe('an agent pays by itself', { concurrency: 1 }, () => {
  const home = temporaryFolder();
  let platform: Platform;

  before(async () => {
    platform = await startPlatform({ quantumMs: 10_000, graceMs: GRACE_MS });
  });

  after(async () => {
    await platform?.[Symbol.asyncDispose]();
    rmSync(home, { recursive: true, force: true });
  });

  /** Somebody with a new wallet that holds dollars, an empty account and a job. */
  async function person(name: string) {
    const folder = join(home, name);
    const login = { TALLY_HOME: folder, TALLY_PASSPHRASE: PASSPHRASE };
    const env: Record<string, string> = { PATH: process.env['PATH'] ?? '', TALLY_DATA: platform.folder, ...login };
    const start = (...argv: string[]): ChildProcess =>
      spawn(process.execPath, [TALLY, ...argv, '--json'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    /** What it answered, or its error. */
    const tally = (...argv: string[]) => endOf(start(...argv), `tally ${argv.join(' ')}`);
    const done = async (...argv: string[]): Promise<Value> => {
      const { code, value } = await tally(...argv);
      assert.equal(code, 0, `tally ${argv.join(' ')}: ${JSON.stringify(value)}`);
      return value;
    };
    await done('login', '--new');
    await done('wallet', 'fund', '--amount', '$10');
    const job = String((await done('job', 'create', '--budget', '$0.10'))['id']);
    const buying = ['sandbox', 'create', '--job', job, '--ram', '128', '--disk', '32'];
    const books = join(folder, 'payments');
    return {
      env,
      job,
      buying,
      start,
      tally,
      done,
      limits: (perPayment: string, perDay: string) =>
        done('wallet', 'limits', '--per-payment', perPayment, '--per-day', perDay),
      payments: async () => (await done('payments', 'list'))['payments'] as Value[],
      spentMicros: async () => FUNDED_MICROS - Number((await done('wallet', 'balance'))['balance_micros']),
      untilSigned: () => until('a payment is signed', async () => existsSync(books) && readdirSync(books).length > 0),
    };
  }

  async function endOf(child: ChildProcess, what: string): Promise<{ code: number | null; value: Value }> {
    let [out, err] = ['', ''];
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    const [code] = (await once(child, 'close')) as [number | null];
    assert.match(code === 0 ? out : err, /^\{/, `${what}: ${code} ${out}${err}`);
    return { code, value: (code === 0 ? JSON.parse(out) : JSON.parse(err).error) as Value };
  }

  type Person = Awaited<ReturnType<typeof person>>;

  /** One payment, settled; what left the wallet is what came to the account. */
  async function paidOnce({ payments, spentMicros, done }: Person): Promise<void> {
    const [payment, ...others] = await payments();
    assert.deepEqual([payment?.['status'], others.length], ['settled', 0], JSON.stringify(payment));
    assert.equal(await spentMicros(), payment?.['amount_micros']);
    assert.equal((await done('balance'))['deposited_micros'], payment?.['amount_micros']);
  }

  test('an empty account buys its first machine: the wallet pays once, and all of it is proved offline', async () => {
    const agent = await person('alone');
    await agent.limits('$1', '$2');
    const sandbox = await agent.done(...agent.buying);
    assert.match(String(sandbox['id']), /^sbx_/);
    await paidOnce(agent);
    const gift = ['wallet', 'fund', '--amount', '$1', '--key', 'gift'];
    const [first, again] = [await agent.done(...gift), await agent.done(...gift)];
    assert.equal(again['balance_micros'], first['balance_micros'], 'a gift is given once');
    const other = await agent.tally('wallet', 'fund', '--amount', '$2', '--key', 'gift');
    assert.equal(other.value['code'], 'idempotency_key_reused');
    const file = join(home, 'all.jsonl');
    await agent.done('receipts', 'export', file);
    assert.equal((await agent.done('verify', file))['ok'], true);
  });

  test('[I-15] [I-44] killed right after it signed, it is repeated under its key: one payment, one machine', async () => {
    const agent = await person('killed');
    await agent.limits('$1', '$2');
    const child = agent.start(...agent.buying, '--key', 'machine');
    const over = once(child, 'close');
    await agent.untilSigned();
    child.kill('SIGKILL');
    await over;
    const first = await agent.done(...agent.buying, '--key', 'machine');
    const again = await agent.done(...agent.buying, '--key', 'machine');
    assert.equal(again['id'], first['id']);
    await paidOnce(agent);
  });

  test('[I-14] [I-17] with the meter and the api killed while it is on its way, a payment arrives once', async () => {
    const agent = await person('patient');
    await agent.limits('$1', '$2');
    const child = agent.start(...agent.buying, '--key', 'machine');
    const over = endOf(child, 'sandbox create');
    await agent.untilSigned();
    for (const name of ['meter', 'api'] as const) {
      const died = platform.pid(name);
      await platform.kill(name);
      await platform.untilReady([died]);
    }
    const { code, value } = await over;
    assert.ok(code === 0 || code === 3, JSON.stringify(value));
    await until(
      'the machine is there',
      async () => (await agent.tally(...agent.buying, '--key', 'machine')).code === 0,
    );
    await paidOnce(agent);
  });

  test('[I-15] two processes with one key at once: one payment, one machine', async () => {
    const agent = await person('twins');
    await agent.limits('$1', '$2');
    const twins = await Promise.all([1, 2].map(() => agent.done(...agent.buying, '--key', 'machine')));
    assert.equal(twins[0]!['id'], twins[1]!['id']);
    await paidOnce(agent);
  });

  test('[I-44] above the limits a person allows one payment and no other; a day’s limit holds over processes, to the micro', async () => {
    const agent = await person('limited');
    await agent.limits('$0.01', '$2');
    const refused = await agent.tally(...agent.buying, '--key', 'machine');
    const facts = refused.value['facts'] as Value;
    assert.deepEqual([refused.code, refused.value['code'], facts['cap']], [1, 'payment_above_limit', 'per_payment']);
    assert.equal(await agent.spentMicros(), 0);
    await agent.done('payments', 'approve', String(facts['payment_id']), '--yes');
    await agent.done(...agent.buying, '--key', 'machine');
    await paidOnce(agent);
    const paidMicros = await agent.spentMicros();
    await agent.limits('$1', '$1.50');
    await agent.done('top-up', '$1');
    const leftMicros = 500_000 - paidMicros;
    const { value } = await agent.tally('top-up', '$0.60');
    const { cap, available_micros } = value['facts'] as Value;
    assert.deepEqual([value['code'], cap, available_micros], ['payment_above_limit', 'per_day', leftMicros]);
    await agent.done('top-up', `${leftMicros}micros`);
    assert.equal(await agent.spentMicros(), 1_500_000);
  });

  test('[I-15] [I-41] a command for a machine that ran out of money pays for it, thaws it and runs once', async () => {
    const agent = await person('stranded');
    await agent.limits('$1', '$2');
    const buying = [...agent.buying, '--quantum', '1s', '--pay', 'no'];
    const { facts } = (await agent.tally(...buying)).value as { facts: Value };
    await agent.done('deposit', `${facts['required_micros']}micros`);
    const id = String((await agent.done(...buying))['id']);
    const still = await until('it stands still', async () => {
      const state = await agent.done('sandbox', 'get', id);
      return state['status'] === 'frozen' && state;
    });
    assert.equal(still['waiting_for'], 'funds');
    const graceMs = Date.parse(String(still['funds_until'])) - Date.parse(String(still['paid_until']));
    assert.equal(graceMs, GRACE_MS);
    const inIt = (script: string, ...options: string[]) => ['exec', id, '--json', ...options, '--', 'sh', '-c', script];
    const command = inIt('echo ran >> runs; cat runs', '--key', 'work');
    const unpaid = await agent.tally(...inIt('echo ran >> runs; cat runs', '--key', 'work', '--pay', 'no'));
    assert.equal(unpaid.value['code'], 'sandbox_unfunded', JSON.stringify(unpaid.value));
    const { quote_id, ends_at, shortfall_micros } = unpaid.value['facts'] as Value;
    assert.deepEqual([ends_at, shortfall_micros], [still['funds_until'], facts['required_micros']]);
    const listed = await agent.tally('ls', `${id}:`);
    assert.equal(listed.value['code'], 'sandbox_unfunded', 'what has no key of its own is told without an offer');
    assert.equal((listed.value['facts'] as Value)['quote_id'], undefined);
    assert.equal((await agent.done(...command))['stdout'], 'ran\n');
    assert.equal((await agent.done(...command))['stdout'], 'ran\n', 'the same command under the same key');
    assert.equal((await agent.done(...inIt('cat runs')))['stdout'], 'ran\n');
    const [payment, ...others] = await agent.payments();
    assert.deepEqual([payment?.['status'], payment?.['quote_id'], others.length], ['settled', quote_id, 0]);
    const { burn_micros_per_hour, funded_until } = await agent.done('balance');
    assert.equal(burn_micros_per_hour, 3_600 * Number(facts['required_micros']));
    const lastsMs = Date.parse(String(funded_until)) - Date.now();
    const paidForMs = (1_000 * Number(payment?.['amount_micros'])) / Number(facts['required_micros']);
    assert.ok(lastsMs > paidForMs / 2 && lastsMs < paidForMs + 5_000, `${lastsMs} ms of ${paidForMs}`);
    await agent.done('sandbox', 'destroy', id);
    assert.equal((await agent.done('balance'))['burn_micros_per_hour'], 0);
  });

  test('over mcp: within the limits by itself; without a wallet in its process by what a person signs', async () => {
    const agent = await person('mcp');
    const { TALLY_PASSPHRASE: _, ...without } = agent.env;
    await using bare = await session(without);
    const asked = { job_id: agent.job, ram_mib: 128, disk_mib: 32, idempotency_key: 'machine' };
    const refused = await bare.ask('sandbox_create', asked);
    assert.deepEqual([refused.isError, refused.value['code']], [true, 'payment_above_limit']);
    await agent.done('payments', 'approve', String(refused.value['payment_id']), '--yes');
    const bought = await bare.ask('sandbox_create', asked);
    assert.deepEqual([bought.isError, bought.paid?.['network']], [false, 'eip155:31337'], JSON.stringify(bought.value));
    await paidOnce(agent);
    await agent.limits('$1', '$2');
    await using own = await session(agent.env);
    const topUp = await own.ask('billing_top_up', { amount_micros: 300_000 });
    assert.deepEqual([topUp.isError, topUp.paid?.['amount_micros']], [false, 300_000], JSON.stringify(topUp.value));
  });

  async function session(env: Record<string, string>) {
    const client = new Client({ name: 'an agent', version: '1' });
    const server = { command: process.execPath, args: [TALLY, 'mcp'], env, cwd: home, stderr: 'inherit' as const };
    await client.connect(new StdioClientTransport(server));
    return {
      async ask(name: string, input: Value) {
        const {
          isError = false,
          structuredContent,
          content,
          _meta,
        } = await client.callTool({ name, arguments: input });
        const text = content[0]?.type === 'text' ? content[0].text : '';
        const value = (structuredContent ?? JSON.parse(text)) as Value;
        return { isError, value, paid: _meta?.['tallystick/payment'] as Value | undefined };
      },
      [Symbol.asyncDispose]: () => client.close(),
    };
  }

  test('after all of it the ledger holds what the chain does, and every receipt replays', async () => {
    const agent = await person('auditor');
    await until('ledger and chain agree', async () => (await agent.done('reserves'))['is_equal'] === true);
    assert.deepEqual(await bookProblems(platform.folder), []);
  });
});
