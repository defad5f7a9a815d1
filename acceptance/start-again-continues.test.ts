/**
 * What people get who stop the platform and start it again: the same accounts, the same jobs, nothing left running between.
 * Promise: looks at the host itself between the two lives: processes, mounts, cgroups, sockets.
 */
import assert from 'node:assert/strict';
import { existsSync, globSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect, JobStatus, SandboxStatus, StopReason, type Tally } from '@tallystick/sdk';
import { bookProblems, logHead, socketFolderOf } from './harness/books.ts';
import { assertLeaseKept, buyWatched, SMALL, type Watched } from './harness/lease.ts';
import { newcomer } from './harness/newcomer.ts';
import { type Platform, startPlatform, temporaryFolder } from './harness/platform.ts';
import { isRunning, signal } from './harness/processes.ts';
import { until } from './harness/until.ts';
import { wardenSocketOf } from './harness/warden-client.ts';

const DEPOSIT_MICROS = 1_000_000n;

/** Processes of this host that name the folder. */
function processesNaming(folder: string): string[] {
  return globSync('/proc/[0-9]*/cmdline').flatMap((file) => {
    try {
      const words = readFileSync(file, 'utf8').replaceAll('\0', ' ');
      return words.includes(folder) && dirname(file) !== `/proc/${process.pid}` ? [words] : [];
    } catch {
      return [];
    }
  });
}

const socketsIn = (folder: string): string[] =>
  existsSync(folder) ? readdirSync(folder).filter((name) => name.includes('.s.PGSQL') || name.endsWith('.sock')) : [];

/** What a platform left on its host; empty when it left nothing but its folder. */
function leftOf(folder: string, tree: string): string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(folder));
  const sockets = [socketFolderOf(folder), dirname(wardenSocketOf(folder))].flatMap(socketsIn);
  const slice = dirname(tree);
  return [...processesNaming(folder), ...mounts, ...sockets, ...(existsSync(slice) ? [slice] : [])];
}

describe('start again, continue', { concurrency: 2 }, () => {
  const folders: string[] = [];
  const newFolder = (): string => {
    folders.push(temporaryFolder());
    return folders.at(-1)!;
  };
  after(() => {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });

  describe('after Ctrl-C', { concurrency: 1 }, () => {
    const folder = newFolder();
    let secret: string;
    let first: { balance: bigint; head: bigint; jobId: string; watched: Watched; tally: Tally };
    let second: Platform;
    let tally: Tally;

    before(async () => {
      await using platform = await startPlatform({ folder, quantumMs: 10_000 });
      const one = await newcomer(platform.url, { depositMicros: DEPOSIT_MICROS });
      secret = one.key.secret;
      const job = await one.tally.jobs.create({ label: 'kept', maxTotalSpendMicros: 100_000n });
      const watched = await buyWatched(job);
      const { balanceMicros } = await one.tally.balance();
      first = { balance: balanceMicros, head: await logHead(folder), jobId: job.id, watched, tally: one.tally };
      assert.equal(await platform.stop(), 0, platform.said);
    });
    after(async () => {
      first?.watched[Symbol.dispose]();
      await second?.[Symbol.asyncDispose]();
    });

    test('[I-08] nothing is left on the host: no process, mount, cgroup or socket', () => {
      assert.ok(first.watched.machine.isGone());
      assert.deepEqual(leftOf(folder, first.watched.machine.tree), []);
      assert.ok(!existsSync(join(folder, 'run', 'api.json')), 'an address is told where nobody listens');
    });

    test('[I-24] the same key works, the job is there, the balance goes on from where it was', async () => {
      second = await startPlatform({ folder, quantumMs: 10_000 });
      tally = connect({ baseUrl: second.url, apiKey: secret });
      const job = await tally.jobs.get(first.jobId);
      assert.deepEqual([job.state.label, job.state.status], ['kept', JobStatus.ACTIVE]);
      assert.ok((await tally.balance()).balanceMicros >= first.balance, 'money went while nothing ran');
      assert.ok((await logHead(folder)) >= first.head);
    });

    test('[I-01] [I-06] the machine that ran was ended with provider_lost and refunded', async () => {
      const { sandbox } = first.watched;
      const again = {
        ...first.watched,
        sandbox: tally.sandboxes.attach(sandbox.id),
        [Symbol.dispose]: () => undefined,
      };
      const state = await assertLeaseKept(folder, again, StopReason.PROVIDER_LOST);
      assert.ok(state.refundedMicros > 0n, 'most of ten paid seconds was not delivered');
      assert.ok(state.ranMs > 0n, 'it did run');
      const { balanceMicros, spentMicros, depositedMicros } = await tally.balance();
      assert.deepEqual([balanceMicros + spentMicros, depositedMicros], [DEPOSIT_MICROS, DEPOSIT_MICROS]);
      const job = await tally.jobs.get(first.jobId);
      await until('the job counts its machines', async () => (await job.refresh()).sandboxesRunning === 0);
      await using next = await job.sandboxes.create(SMALL);
      assert.equal((await next.exec(['echo', 'again'])).stdout, 'again\n');
      assert.deepEqual(await bookProblems(folder), []);
    });
  });

  test('[I-17] [I-24] after the kill of everything at once the next start finds its way back', async () => {
    const folder = newFolder();
    const one = await startPlatform({ folder, quantumMs: 2_000 });
    const { tally, key } = await newcomer(one.url, { depositMicros: DEPOSIT_MICROS });
    const job = await tally.jobs.create({ maxTotalSpendMicros: 100_000n });
    using watched = await buyWatched(job);
    signal(one.supervisorPid, 'SIGKILL');
    for (const name of ['api', 'meter', 'database', 'warden'] as const) signal(one.pid(name), 'SIGKILL');
    signal(one.postmasterPid(), 'SIGKILL');
    await until('the machine is gone', () => watched.machine.isGone());
    await using two = await startPlatform({ folder, quantumMs: 2_000 });
    const mine = connect({ baseUrl: two.url, apiKey: key.secret });
    const again = { ...watched, sandbox: mine.sandboxes.attach(watched.sandbox.id), [Symbol.dispose]: () => undefined };
    const state = await assertLeaseKept(folder, again, StopReason.PROVIDER_LOST);
    assert.equal(state.status, SandboxStatus.ENDED);
    assert.deepEqual(await bookProblems(folder), []);
  });

  test('[I-03] after the kill of the supervisor alone its programs end by themselves, and the next start is clean', async () => {
    const folder = newFolder();
    const one = await startPlatform({ folder, quantumMs: 2_000 });
    const { tally, key } = await newcomer(one.url, { depositMicros: DEPOSIT_MICROS });
    const job = await tally.jobs.create({ maxTotalSpendMicros: 100_000n });
    using watched = await buyWatched(job);
    const pids = (['api', 'meter', 'database', 'warden'] as const).map((name) => one.pid(name));
    signal(one.supervisorPid, 'SIGKILL');
    await until('its programs have ended', () => !pids.some(isRunning) && !one.postmasterPid());
    assert.ok(watched.machine.isGone(), 'a machine outlived its warden');
    await using two = await startPlatform({ folder, quantumMs: 2_000 });
    const mine = connect({ baseUrl: two.url, apiKey: key.secret });
    assert.ok((await mine.balance()).depositedMicros === DEPOSIT_MICROS);
    await mine.jobs.stop(job.id);
    const again = { ...watched, sandbox: mine.sandboxes.attach(watched.sandbox.id), [Symbol.dispose]: () => undefined };
    await until('the machine is gone', () => watched.machine.isGone());
    await until(
      'it is told as ended',
      async () => (await again.sandbox.refresh()).status === SandboxStatus.ENDED,
      60_000,
    );
    assert.deepEqual(await bookProblems(folder), []);
  });
});
