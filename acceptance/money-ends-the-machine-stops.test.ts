/**
 * What a user can rely on when money, time or activity end: the machine stops by what was paid, and the reason is one word.
 * Promise: running time is measured outside by cgroup and inside by a clock, and compared with the ledger.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { JobStatus, type Sandbox, SandboxStatus, StopReason, type Tally, WaitingFor } from '@tallystick/sdk';
import { bookProblems, receiptsOf } from './harness/books.ts';
import { assertExportsVerify } from './harness/exports.ts';
import { assertLeaseKept, buyWatched, SECOND_MICROS, SMALL, untilEnded } from './harness/lease.ts';
import { lastingPids, watchMachine } from './harness/machine.ts';
import { newcomer } from './harness/newcomer.ts';
import { type Platform, startPlatform } from './harness/platform.ts';
import { msOf } from './harness/time.ts';
import { until } from './harness/until.ts';

const GRACE_MS = 3_000;
const PLENTY_MICROS = 1_000_000n;
/** How much later than its moment something may be noticed on a busy machine. */
const NOTICE_MS = 2_500;

describe('the money ends and the machine stops', { concurrency: 5 }, () => {
  let platform: Platform;
  const everybody: Tally[] = [];
  before(async () => {
    platform = await startPlatform({ quantumMs: 1_000, graceMs: GRACE_MS });
  });
  after(async () => {
    try {
      assert.deepEqual(await bookProblems(platform.folder), [], 'the books');
      await assertExportsVerify(everybody); // however their machines ended
    } finally {
      await platform[Symbol.asyncDispose]();
    }
  });

  async function jobOf(
    depositMicros: bigint,
    options: { maxTotalSpendMicros: bigint; ttlMs?: bigint; idleTimeoutMs?: bigint },
  ) {
    const { tally } = await newcomer(platform.url, { depositMicros });
    everybody.push(tally);
    return { tally, job: await tally.jobs.create(options) };
  }

  const statusOf = (job: { refresh(): Promise<{ status: JobStatus }> }, wanted: JobStatus) =>
    until(`the job has status ${wanted}`, async () => (await job.refresh()).status === wanted);

  test('[I-01] [I-12] job_cap: exactly what the job may spend is sold, and the job says why it stopped', async () => {
    const { tally, job } = await jobOf(PLENTY_MICROS, { maxTotalSpendMicros: 4n * SECOND_MICROS + 3n });
    using watched = await buyWatched(job);
    assert.equal(watched.sandbox.state!.priceMicrosPerQuantum, SECOND_MICROS);
    const state = await assertLeaseKept(platform.folder, watched, StopReason.JOB_CAP);
    assert.deepEqual([state.minutesSold, state.spentMicros, state.refundedMicros], [4n, 4n * SECOND_MICROS, 0n]);
    await statusOf(job, JobStatus.STOPPED_DUE_TO_BUDGET);
    assert.deepEqual([job.state.spentMicros, job.state.remainingMicros], [4n * SECOND_MICROS, 3n]);
    assert.equal((await tally.balance()).spentMicros, 4n * SECOND_MICROS);
  });

  test('[I-12] job_cap: it ends all machines of the job, and together they spend no more', async () => {
    const capMicros = 7n * SECOND_MICROS;
    const { job } = await jobOf(PLENTY_MICROS, { maxTotalSpendMicros: capMicros });
    const both = await Promise.all([buyWatched(job), buyWatched(job)]);
    using _a = both[0];
    using _b = both[1];
    const states = await Promise.all(
      both.map((watched) => assertLeaseKept(platform.folder, watched, StopReason.JOB_CAP)),
    );
    const spent = states.reduce((sum, { spentMicros }) => sum + spentMicros, 0n);
    assert.ok(spent <= capMicros && spent >= capMicros - 2n * SECOND_MICROS, `${spent} of ${capMicros}`);
    await statusOf(job, JobStatus.STOPPED_DUE_TO_BUDGET);
    assert.equal(job.state.spentMicros, spent);
  });

  test('[I-12] sandbox_cap: the machine stops at its own cap, and the job goes on', async () => {
    const { job } = await jobOf(PLENTY_MICROS, { maxTotalSpendMicros: 10_000n });
    using watched = await buyWatched(job, { maxSpendMicros: 3n * SECOND_MICROS + 1n });
    const state = await assertLeaseKept(platform.folder, watched, StopReason.SANDBOX_CAP);
    assert.deepEqual([state.minutesSold, state.spentMicros], [3n, 3n * SECOND_MICROS]);
    assert.equal((await job.refresh()).status, JobStatus.ACTIVE);
    assert.equal(job.state.remainingMicros, 10_000n - 3n * SECOND_MICROS);
  });

  test('insufficient_funds: frozen at the paid end, and money within the grace thaws the same processes', async () => {
    const { tally, job } = await jobOf(3n * SECOND_MICROS, { maxTotalSpendMicros: 10_000n });
    using watched = await buyWatched(job);
    const { sandbox, machine, ticker } = watched;
    const lasting = await lastingPids(machine);
    await until('it stands still', () => machine.isFrozen());
    const frozenAtMs = Date.now();
    const cpuUs = machine.cpuUs();
    const frozen = await until('it is told as frozen', async () => {
      const state = await sandbox.refresh();
      return state.status === SandboxStatus.FROZEN && state;
    });
    assert.deepEqual([frozen.minutesSold, (await tally.balance()).balanceMicros], [3n, 0n]);
    assert.deepEqual(
      [frozen.waitingFor, msOf(frozen.fundsUntil)],
      [WaitingFor.FUNDS, msOf(frozen.paidUntil) + GRACE_MS],
    );
    await assert.rejects(sandbox.upload('x', Buffer.from('x')), { code: 'sandbox_unfunded', status: 402 });
    const paidUntilMs = msOf(frozen.paidUntil);
    assert.ok(frozenAtMs <= paidUntilMs, `it froze ${frozenAtMs - paidUntilMs} ms after what was paid`);
    assert.equal(machine.cpuUs(), cpuUs, 'it used processor time while it stood still');
    assert.equal((await job.refresh()).status, JobStatus.ACTIVE);
    const moneyAtMs = Date.now();
    await tally.depositDevelopment(2n * SECOND_MICROS);
    await until('it ticks again', () => ticker.ticksMs.at(-1)! > moneyAtMs, 2 * NOTICE_MS);
    const missing = lasting.filter((pid) => !machine.pids().split(' ').includes(pid));
    assert.deepEqual([missing, lasting.length > 0], [[], true], 'other processes than before');
    const unpaid = ticker.ticksMs.filter((tick) => tick > paidUntilMs && tick < moneyAtMs);
    assert.deepEqual(unpaid, [], 'it ticked between the paid end and the new money');
    const state = await assertLeaseKept(platform.folder, watched, StopReason.INSUFFICIENT_FUNDS);
    assert.equal(state.minutesSold, 5n);
    assert.equal((await tally.balance()).balanceMicros, state.refundedMicros);
  });

  test('insufficient_funds: without money it is ended after the grace, not before', async () => {
    const { tally, job } = await jobOf(2n * SECOND_MICROS, { maxTotalSpendMicros: 10_000n });
    using watched = await buyWatched(job);
    const { machine } = watched;
    await until('it stands still', () => machine.isFrozen());
    const frozenAtMs = Date.now();
    await until('its cgroup is gone', () => machine.isGone(), GRACE_MS + 4 * NOTICE_MS);
    const waitedMs = Date.now() - frozenAtMs;
    assert.ok(waitedMs > GRACE_MS - 500 && waitedMs < GRACE_MS + NOTICE_MS, `ended ${waitedMs} ms after the freeze`);
    const state = await assertLeaseKept(platform.folder, watched, StopReason.INSUFFICIENT_FUNDS);
    assert.ok(msOf(state.stoppedAt) <= msOf(state.paidUntil), 'it counts as stopped when it stood still');
    const { balanceMicros, depositedMicros, spentMicros } = await tally.balance();
    assert.equal(balanceMicros + spentMicros, depositedMicros);
  });

  test('job_ttl: the job expires, and no machine of it runs longer', async () => {
    const { job } = await jobOf(PLENTY_MICROS, { maxTotalSpendMicros: 10_000n, ttlMs: 3_300n });
    using watched = await buyWatched(job);
    const state = await assertLeaseKept(platform.folder, watched, StopReason.JOB_TTL);
    assert.ok(msOf(state.stoppedAt) <= msOf(job.state.expiresAt));
    await statusOf(job, JobStatus.EXPIRED);
  });

  test('sandbox_ttl: the machine ends by its own time, and the job goes on', async () => {
    const { job } = await jobOf(PLENTY_MICROS, { maxTotalSpendMicros: 10_000n });
    using watched = await buyWatched(job, { ttlMs: 2_600n });
    const state = await assertLeaseKept(platform.folder, watched, StopReason.SANDBOX_TTL);
    assert.ok(msOf(state.stoppedAt) <= msOf(state.createdAt) + 2_600, 'it ran longer than its time to live');
    assert.equal((await job.refresh()).status, JobStatus.ACTIVE);
  });

  async function runQuietly(sandbox: Sandbox, ms: number): Promise<number> {
    const { end } = await sandbox.exec(['sleep', String(ms / 1_000)]);
    assert.equal(end, 'exited', 'it was taken for idle while a command ran');
    return Date.now();
  }

  test('idle: never while a command runs, soon after the last one', async () => {
    const { job } = await jobOf(PLENTY_MICROS, { maxTotalSpendMicros: 10_000n });
    const sandbox = await job.sandboxes.create({ ...SMALL, idleTimeoutMs: 1_000n });
    using machine = await watchMachine(sandbox.id);
    const quietFromMs = await runQuietly(sandbox, 3_000);
    const state = await untilEnded(sandbox);
    assert.equal(state.stopReason, StopReason.IDLE);
    const idleMs = msOf(state.stoppedAt) - quietFromMs;
    assert.ok(idleMs > 500 && idleMs < 1_000 + 2_000 + NOTICE_MS, `ended ${idleMs} ms after its last command`);
    assert.ok(machine.lastRunningAtMs <= msOf(state.paidUntil));
    assert.equal((await job.refresh()).status, JobStatus.ACTIVE);
  });

  test('idle: a sign of life keeps a machine, and a job without any stops with all of its machines', async () => {
    const { job } = await jobOf(PLENTY_MICROS, { maxTotalSpendMicros: 10_000n, idleTimeoutMs: 1_500n });
    const sandbox = await job.sandboxes.create(SMALL);
    await sandbox.exec(['true']);
    const touchedAtMs = Date.now();
    await sandbox.touch({ reason: 'thinking', forMs: 3_000n });
    const state = await untilEnded(sandbox);
    assert.equal(state.stopReason, StopReason.IDLE);
    const keptMs = msOf(state.stoppedAt) - touchedAtMs;
    assert.ok(keptMs > 3_000, `ended ${keptMs} ms after a sign of life for 3000 ms`);
    await statusOf(job, JobStatus.STOPPED_DUE_TO_IDLE);
  });

  test('[I-06] start_failed: a machine that finds no room costs nothing', async () => {
    const { tally, job } = await jobOf(PLENTY_MICROS, { maxTotalSpendMicros: 900_000n });
    const started: Sandbox[] = [];
    let failed: Sandbox | undefined;
    while (!failed && started.length < 20) {
      const sandbox = await job.sandboxes.create({ ...SMALL, ramMib: 8_192, quantumMs: 30_000n });
      const status = await until('it has started or not', async () => {
        const state = await sandbox.refresh();
        return state.status !== SandboxStatus.STARTING && state.status;
      });
      if (status === SandboxStatus.RUNNING) started.push(sandbox);
      else failed = sandbox;
    }
    assert.ok(failed, 'twenty times eight GiB found room');
    const state = await untilEnded(failed);
    assert.deepEqual([state.stopReason, state.spentMicros], [StopReason.START_FAILED, 0n]);
    assert.equal(state.refundedMicros, state.priceMicrosPerQuantum);
    assert.equal(state.startedAt, undefined);
    await Promise.all(started.map((sandbox) => sandbox.destroy()));
    const ended = await Promise.all(started.map((sandbox) => untilEnded(sandbox)));
    const spent = ended.reduce((sum, one) => sum + one.spentMicros, 0n);
    assert.equal((await tally.balance()).spentMicros, spent);
    await until('the job counts its machines', async () => (await job.refresh()).sandboxesRunning === 0);
  });

  test('[I-18] every sold minute, the end and each refusal has its receipt', async () => {
    const { job } = await jobOf(PLENTY_MICROS, { maxTotalSpendMicros: 3n * SECOND_MICROS });
    using watched = await buyWatched(job);
    const state = await assertLeaseKept(platform.folder, watched, StopReason.JOB_CAP);
    await assert.rejects(watched.sandbox.stop());
    const receipts = await receiptsOf(platform.folder, `sandbox:${state.id}`);
    const sales = receipts.filter(({ postings }) => postings.some(({ credit }) => credit === `escrow:${state.id}`));
    assert.equal(BigInt(sales.length), state.minutesSold);
    const last = receipts.at(-1)!;
    assert.deepEqual([last.command.type, last.decision.rejection !== null], ['StopSandbox', true]);
    assert.deepEqual(
      receipts.map(({ seq }) => seq),
      receipts.map((_, at) => receipts[0]!.seq + at),
    );
  });
});
