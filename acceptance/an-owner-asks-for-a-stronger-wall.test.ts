/**
 * What an owner can rely on when a sandbox is asked for at an isolation level: that level, a stronger one, or a refusal.
 * Promise: a refusal names what was asked and what there is, and costs nothing.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import type { ApiError } from '@tallystick/sdk';
import { bookProblems } from './harness/books.ts';
import { SMALL } from './harness/lease.ts';
import { newcomer } from './harness/newcomer.ts';
import { startPlatform } from './harness/platform.ts';

const noRunsc =
  spawnSync('runsc', ['--version']).status === 0 ? false : 'runsc is not installed: apt-get install runsc';

async function jobOn(isolation: string) {
  const platform = await startPlatform({ quantumMs: 30_000, env: { TALLY_ISOLATION: isolation } });
  const { tally } = await newcomer(platform.url, { depositMicros: 1_000_000n });
  return { platform, tally, job: await tally.jobs.create({ maxTotalSpendMicros: 500_000n }) };
}

test('a machine of level ns serves who asks for ns or for nothing, and refuses who asks for gvisor', async () => {
  const { platform, tally, job } = await jobOn('ns');
  await using _ = platform;
  const before = await tally.balance();
  await assert.rejects(job.sandboxes.create({ ...SMALL, isolation: 'gvisor' }), (fault: ApiError) => {
    const { cap, asked, available } = fault.problem;
    assert.deepEqual([fault.code, cap, asked, available], ['isolation_unavailable', 'isolation', 'gvisor', 'ns']);
    return true;
  });
  assert.deepEqual(await tally.balance(), before);
  const sandbox = await job.sandboxes.create({ ...SMALL, isolation: 'ns' });
  assert.equal((await sandbox.refresh()).isolation, 'ns');
  assert.deepEqual(await bookProblems(platform.folder), []);
});

test('a machine of level gvisor serves who asks for it', { skip: noRunsc }, async () => {
  const { platform, job } = await jobOn('gvisor');
  await using _ = platform;
  const sandbox = await job.sandboxes.create({ ...SMALL, isolation: 'gvisor' });
  assert.equal((await sandbox.exec(['sh', '-c', 'echo here; uname -r'])).stdout, 'here\n4.4.0\n');
  assert.equal((await sandbox.refresh()).isolation, 'gvisor');
  assert.deepEqual(await bookProblems(platform.folder), []);
});
