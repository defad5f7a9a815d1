/**
 * What an agent gets that speaks nothing but the Model Context Protocol: money, a machine, its work and the proof of it.
 * Promise: the official client talks to `tally mcp`, which uses the login that a person made on the command line.
 */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { bookProblems } from './harness/books.ts';
import { type CommandLine, commandLine, openTools, type Tools, type Value } from './harness/doors.ts';
import { type Platform, startPlatform, temporaryFolder } from './harness/platform.ts';
import { until } from './harness/until.ts';

const QUANTUM_MS = 2_000;
const BUDGET_MICROS = 100_000;
const DEPOSIT_MICROS = 1_000_000;

describe('an agent lives over mcp', () => {
  const home = temporaryFolder();
  let platform: Platform;
  let line: CommandLine;
  let tools: Tools;

  before(async () => {
    platform = await startPlatform({ quantumMs: QUANTUM_MS });
    line = commandLine(platform, home);
    await line.tally('login', '--new');
    tools = await openTools(line);
  });

  after(async () => {
    await tools?.[Symbol.asyncDispose]();
    await platform?.[Symbol.asyncDispose]();
    rmSync(home, { recursive: true, force: true });
  });

  test('[I-15] [I-06] buys a machine, works on it, stops its job and proves it all', async () => {
    const { ask, call } = tools;
    const { tally } = line;
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
