/**
 * What an agent gets that speaks nothing but the Model Context Protocol: money, a machine, its work and the proof of it.
 * Promise: the official client talks to `tally mcp`, which uses the login that a person made on the command line.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { bookProblems } from './harness/books.ts';
import { type Platform, ROOT, startPlatform, temporaryFolder } from './harness/platform.ts';
import { until } from './harness/until.ts';

const TALLY = join(ROOT, 'terminal', 'bin', 'tally.mjs');
const QUANTUM_MS = 2_000;
const BUDGET_MICROS = 100_000;
const DEPOSIT_MICROS = 1_000_000;

type Value = Record<string, unknown>;

describe('an agent lives over mcp', () => {
  const home = temporaryFolder();
  let platform: Platform;
  let client: Client;
  let env: Record<string, string>;

  /** Runs the command line to its end. @errors rejects with what it said */
  async function tally(...argv: string[]): Promise<Value> {
    const child = spawn(process.execPath, [TALLY, ...argv, '--json'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      err += chunk.toString();
    });
    const [code] = await once(child, 'close');
    assert.equal(code, 0, `tally ${argv.join(' ')}: ${err}`);
    return JSON.parse(out) as Value;
  }

  async function ask(
    name: string,
    input: Value = {},
  ): Promise<{ isError: boolean; isReplayed: boolean; value: Value }> {
    const { isError = false, structuredContent, content, _meta } = await client.callTool({ name, arguments: input });
    const text = content[0]?.type === 'text' ? content[0].text : '';
    const isReplayed = _meta?.['tallystick/replayed'] === true;
    return { isError, isReplayed, value: (structuredContent ?? JSON.parse(text)) as Value };
  }

  async function call(name: string, input?: Value): Promise<Value> {
    const { isError, value } = await ask(name, input);
    assert.equal(isError, false, `${name}: ${JSON.stringify(value)}`);
    return value;
  }

  before(async () => {
    platform = await startPlatform({ quantumMs: QUANTUM_MS });
    const login = { TALLY_HOME: join(home, 'tally'), TALLY_PASSPHRASE: 'of an agent' };
    env = { PATH: process.env['PATH'] ?? '', TALLY_DATA: platform.folder, ...login };
    await tally('login', '--new');
    client = new Client({ name: 'an agent', version: '1' });
    await client.connect(
      new StdioClientTransport({ command: process.execPath, args: [TALLY, 'mcp'], env, cwd: home, stderr: 'inherit' }),
    );
  });

  after(async () => {
    await client?.close();
    await platform?.[Symbol.asyncDispose]();
    rmSync(home, { recursive: true, force: true });
  });

  test('[I-15] [I-06] buys a machine, works on it, stops its job and proves it all', async () => {
    await call('billing_deposit', { amount_micros: DEPOSIT_MICROS });
    const job = await call('job_create', { label: 'mcp', max_total_spend_micros: BUDGET_MICROS });
    const asked = { job_id: job['id'], cpu_millis: 500, ram_mib: 128, disk_mib: 32, idempotency_key: 'my-machine' };
    const sandbox = await call('sandbox_create', asked);
    const again = await ask('sandbox_create', asked);
    assert.deepEqual([again.isReplayed, again.value['id']], [true, sandbox['id']], 'the same key, the same machine');
    const other = await ask('sandbox_create', { ...asked, cpu_millis: 250 });
    assert.deepEqual([other.isError, other.value['code']], [true, 'idempotency_key_reused']);
    const id = sandbox['id'];
    await call('sandbox_upload', { id, path: 'work/sum.sh', content: 'read a b; echo $((a + b))\n' });
    const stdin = Buffer.from('40 2\n').toString('base64');
    const exec = await call('sandbox_exec', { id, argv: ['sh', '-c', 'sh work/sum.sh | tee work/out.txt'], stdin });
    assert.deepEqual([exec['end'], exec['exit_code'], exec['stdout']], ['exited', 0, '42\n']);
    const { entries } = await call('sandbox_files', { id, path: 'work' });
    assert.deepEqual((entries as Value[]).map(({ name }) => name).sort(), ['out.txt', 'sum.sh']);
    const file = await call('sandbox_download', { id, path: 'work/out.txt' });
    assert.deepEqual([file['encoding'], file['content']], ['text', '42\n']);
    const outside = await ask('sandbox_download', { id, path: 'work/none' });
    assert.deepEqual([outside.isError, outside.value['code']], [true, 'file_not_found']);
    assert.equal((await call('job_stop', { id: job['id'] }))['status'], 'stopped');
    await until('the machine has ended', async () => (await call('sandbox_get', { id }))['status'] === 'ended');
    const balance = await call('billing_balance');
    const spentMicros = BigInt(balance['spent_micros'] as number);
    assert.ok(spentMicros > 0n && spentMicros < BigInt(BUDGET_MICROS), String(spentMicros));
    assert.equal(BigInt(balance['balance_micros'] as number), BigInt(DEPOSIT_MICROS) - spentMicros);
    assert.deepEqual(await tally('balance'), balance, 'a person is told the same');
    await call('receipts_export', { path: 'all.jsonl' });
    const report = await call('receipts_verify', { path: 'all.jsonl' });
    assert.deepEqual([report['ok'], report['problems']], [true, []]);
    assert.equal(((await tally('verify', join(home, 'all.jsonl'))) as Value)['receipts'], report['receipts']);
    assert.deepEqual(await bookProblems(platform.folder), []);
  });
});
