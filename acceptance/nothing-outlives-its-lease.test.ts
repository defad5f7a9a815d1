/**
 * What holds when parts of the platform die or hang: no machine runs on unpaid, and no money is lost when they return.
 * Promise: real processes get real signals; the machines are watched from outside while nobody looks after them.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Job, JobStatus, SandboxStatus, StopReason, type Tally } from '@tallystick/sdk';
import { bookProblems, query } from './harness/books.ts';
import { assertLeaseKept, buyWatched, SMALL, untilEnded } from './harness/lease.ts';
import { newcomer } from './harness/newcomer.ts';
import { type Platform, type ProgramName, startPlatform } from './harness/platform.ts';
import { isRunning, signal } from './harness/processes.ts';
import { msOf } from './harness/time.ts';
import { until } from './harness/until.ts';
import { callWarden } from './harness/warden-client.ts';

const QUANTUM_MS = 2_000n;
const GRACE_MS = 1_500;
const DEPOSIT_MICROS = 1_000_000n;
/** A lease bought at the last moment, the grace behind it, and room for a busy machine. */
const STOP_MS_MAX = 2 * Number(QUANTUM_MS) + GRACE_MS + 6_000;

interface Place {
  platform: Platform;
  tally: Tally;
  job: Job;
}

async function open(place: Partial<Place>): Promise<void> {
  const platform = await startPlatform({ quantumMs: Number(QUANTUM_MS), graceMs: GRACE_MS });
  try {
    const { tally } = await newcomer(platform.url, { depositMicros: DEPOSIT_MICROS });
    const job = await tally.jobs.create({ maxTotalSpendMicros: 500_000n });
    Object.assign(place, { platform, tally, job });
  } catch (fault) {
    await platform[Symbol.asyncDispose]();
    throw fault;
  }
}

/** The account adds up, the job knows its machines are over, the books are right. */
async function close({ platform, tally, job }: Place): Promise<void> {
  try {
    await until('no machine counts as running', async () => (await job.refresh()).sandboxesRunning === 0);
    const { balanceMicros, spentMicros, depositedMicros } = await tally.balance();
    assert.deepEqual([balanceMicros + spentMicros, depositedMicros], [DEPOSIT_MICROS, DEPOSIT_MICROS]);
    assert.equal(job.state.status, JobStatus.ACTIVE);
    assert.equal(job.state.spentMicros, spentMicros);
    assert.deepEqual(await bookProblems(platform.folder), [], 'the books');
  } finally {
    await platform[Symbol.asyncDispose]();
  }
}

async function killAndKeepDead(platform: Platform, names: ProgramName[]): Promise<number[]> {
  const pids = names.map((name) => platform.pid(name));
  platform.pause();
  await Promise.all(names.map((name) => platform.kill(name)));
  if (names.includes('database')) signal(platform.postmasterPid(), 'SIGKILL');
  return pids;
}

const ticketsOf = (platform: Platform, sandboxId: string): Promise<{ envelope: string }[]> =>
  query(platform.folder, 'select envelope from engine.ticket where sandbox = $1 order by seq', [sandboxId]);

async function bringBack(platform: Platform, oldPids: number[]): Promise<void> {
  platform.resume();
  await platform.untilReady(oldPids);
}

describe('nothing outlives its lease', { concurrency: 3 }, () => {
  describe('without the meter, without the api', { concurrency: 1 }, () => {
    const place = {} as Place;
    before(() => open(place));
    after(() => close(place));

    test('[I-01] [I-03] [I-04] the meter dies: machines stop by what was paid, old tickets add nothing', async () => {
      const { platform, job } = place;
      using quiet = await buyWatched(job);
      using replayed = await buyWatched(job);
      const { id } = replayed.sandbox;
      // a ticket is signed after its sale: one of the second step is there only when this meter has come that far
      await until('a second ticket is signed', async () => (await ticketsOf(platform, id)).length >= 2);
      const oldPids = await killAndKeepDead(platform, ['meter']);
      const tickets = await ticketsOf(platform, id);
      const replay = () =>
        Promise.all(
          tickets.map(({ envelope }) =>
            callWarden(platform.folder, 'POST', `/v1/sandboxes/${id}/renew`, { ticket: JSON.parse(envelope) }),
          ),
        );
      await replay(); // the meter may have died between the sale and the delivery: the newest ticket is new once
      for (const { status, body } of await replay()) assert.deepEqual([status, body['code']], [422, 'ticket_old_seq']);
      await until('it stands still', () => replayed.machine.isFrozen(), STOP_MS_MAX);
      for (const { body } of await replay()) assert.notEqual(body['state'], 'running');
      await until('both are gone', () => quiet.machine.isGone() && replayed.machine.isGone(), STOP_MS_MAX);
      const again = await replay();
      for (const { status } of again) assert.ok(status >= 400, 'an old ticket was taken after the end');
      await bringBack(platform, oldPids);
      for (const watched of [quiet, replayed])
        await assertLeaseKept(platform.folder, watched, StopReason.PROVIDER_LOST);
    });

    test('[I-03] [I-27] the api dies: machines run on, paid as before, and a reader misses nothing', async () => {
      const { platform, job } = place;
      using watched = await buyWatched(job);
      const { sandbox, machine, ticker } = watched;
      const { paidUntil } = await sandbox.refresh();
      const oldPids = await killAndKeepDead(platform, ['api']);
      const diedAtMs = Date.now();
      const later = msOf(paidUntil) + Number(QUANTUM_MS);
      await until('it outlives what was paid when the api died', () => machine.lastRunningAtMs > later, STOP_MS_MAX);
      await bringBack(platform, oldPids);
      await until('it is heard again', () => ticker.ticksMs.at(-1)! > later, STOP_MS_MAX);
      const gaps = ticker.ticksMs.slice(1).map((tick, at) => tick - ticker.ticksMs[at]!);
      assert.ok(Math.min(...gaps) > 0, 'a tick was heard twice');
      const whileDead = ticker.ticksMs.filter((tick) => tick > diedAtMs && tick < later);
      assert.ok(whileDead.length > 5, `${whileDead.length} ticks of the time without an api were heard`);
      await sandbox.stop();
      await assertLeaseKept(platform.folder, watched, StopReason.STOPPED_BY_OWNER);
    });
  });

  describe('without the database, without the control plane', { concurrency: 1 }, () => {
    const place = {} as Place;
    before(() => open(place));
    after(() => close(place));

    for (const [title, names] of [
      ['the database dies', ['database']],
      ['the whole control plane dies', ['api', 'meter', 'database']],
    ] as [string, ProgramName[]][])
      test(`[I-01] [I-03] [I-17] ${title}: machines stop by what was paid, and are refunded when it returns`, async () => {
        const { platform, job } = place;
        using watched = await buyWatched(job);
        await until('a second step is sold', async () => (await watched.sandbox.refresh()).minutesSold >= 2n);
        const oldPids = await killAndKeepDead(platform, names);
        await until('its cgroup is gone', () => watched.machine.isGone(), STOP_MS_MAX);
        await bringBack(platform, oldPids);
        await assertLeaseKept(platform.folder, watched, StopReason.PROVIDER_LOST);
        await using next = await job.sandboxes.create(SMALL);
        assert.equal((await next.exec(['echo', 'back'])).stdout, 'back\n');
      });

    test('[I-17] only the database server dies: it is started again, and everything goes on', async () => {
      const { platform, job } = place;
      const dead = platform.postmasterPid()!;
      signal(dead, 'SIGKILL');
      await until('another server runs', () => platform.postmasterPid() !== dead && platform.postmasterPid());
      await platform.untilReady();
      await using next = await job.sandboxes.create(SMALL);
      assert.equal((await next.exec(['echo', 'back'])).stdout, 'back\n');
    });
  });

  describe('without the warden', { concurrency: 1 }, () => {
    const place = {} as Place;
    before(() => open(place));
    after(() => close(place));

    test('[I-03] the warden dies: its machines die with it, at once, and what they did not use is refunded', async () => {
      const { platform, job } = place;
      using watched = await buyWatched(job, { quantumMs: 60_000n });
      const pid = platform.pid('warden');
      signal(pid, 'SIGKILL');
      const diedAtMs = Date.now();
      await until('its cgroup is gone', () => watched.machine.isGone());
      assert.ok(Date.now() - diedAtMs < 3_000, `gone ${Date.now() - diedAtMs} ms after its warden`);
      await platform.untilReady([pid]);
      assert.deepEqual(await watched.ticker.outcome, { end: 'sandbox_lost' });
      const state = await assertLeaseKept(platform.folder, watched, StopReason.PROVIDER_LOST);
      assert.ok(
        state.refundedMicros > state.spentMicros,
        `refunded ${state.refundedMicros}, spent ${state.spentMicros}`,
      );
      await using next = await job.sandboxes.create(SMALL);
      assert.equal((await next.exec(['echo', 'back'])).stdout, 'back\n');
    });

    test('[I-03] the warden hangs: the reaper freezes its machines by what was paid, and ends them', async () => {
      const { platform, job } = place;
      using watched = await buyWatched(job);
      const pid = platform.pid('warden');
      signal(pid, 'SIGSTOP');
      const hungAtMs = Date.now();
      try {
        await until('it stands still or is gone', () => watched.machine.isFrozen() || watched.machine.isGone());
        assert.ok(Date.now() - hungAtMs <= 2 * Number(QUANTUM_MS), 'it ran longer than a lease');
        const cpuUs = watched.machine.cpuUs();
        await until('nothing runs in it', () => watched.machine.pids() === '', STOP_MS_MAX);
        assert.ok(watched.machine.cpuUs() - cpuUs < 20_000, 'it used processor time after the freeze');
        assert.ok(isRunning(pid), 'the warden was replaced');
      } finally {
        signal(pid, 'SIGCONT');
      }
      const state = await assertLeaseKept(platform.folder, watched, StopReason.PROVIDER_LOST);
      const soldMs = state.minutesSold * QUANTUM_MS;
      const paidMs = (state.spentMicros * QUANTUM_MS) / state.priceMicrosPerQuantum;
      assert.ok(
        paidMs - state.ranMs <= QUANTUM_MS + 1_000n,
        `[I-06] ${paidMs} ms of ${soldMs} ms are charged, and it ran ${state.ranMs} ms`,
      );
    });
  });

  test('a machine is over also for whoever asks next', async () => {
    await using platform = await startPlatform({ quantumMs: 1_000, graceMs: 0 });
    const { tally } = await newcomer(platform.url, { depositMicros: 7n });
    const job = await tally.jobs.create({ maxTotalSpendMicros: 1_000n });
    const sandbox = await job.sandboxes.create(SMALL);
    const state = await untilEnded(sandbox);
    assert.equal(state.status, SandboxStatus.ENDED);
    await assert.rejects(sandbox.exec(['true']));
    assert.deepEqual(await bookProblems(platform.folder), []);
  });
});
