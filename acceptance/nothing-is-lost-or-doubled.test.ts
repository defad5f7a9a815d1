/**
 * What callers can rely on while the platform's programs die under load: what was answered stays, and nothing happens twice.
 * Promise: api, meter and database get SIGKILL at many random points; whoever gets no answer repeats with the same key.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ApiError, JobStatus, SandboxStatus } from '@tallystick/sdk';
import { bookProblems, query } from './harness/books.ts';
import { SMALL } from './harness/lease.ts';
import { type Newcomer, newcomer } from './harness/newcomer.ts';
import { type Platform, type ProgramName, ROOT, startPlatform, temporaryFolder } from './harness/platform.ts';
import { signal } from './harness/processes.ts';
import { until } from './harness/until.ts';

const WALLETS = 8;
const KILLS = 12;
const PAUSE_MS_MIN = 300;
const PAUSE_MS_MAX = 1_500;
/** Nobody waits longer for one answer than this, over all repetitions. */
const ANSWER_MS_MAX = 90_000;
const REPEAT_EVERY_MS = 100;
const VICTIMS = ['api', 'meter', 'database', 'server'] as const;

/** Reproducible: the seed is printed and read from TALLY_SEED. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** What one caller was told, by what it asked for. */
interface Told {
  deposits: { id: string; amountMicros: bigint }[];
  jobs: { id: string; maxMicros: bigint; key: string }[];
  sandboxes: { id: string; key: string }[];
  stopped: Set<string>;
  repeats: number;
}

interface Caller {
  who: Newcomer;
  told: Told;
}

const isUnanswered = (fault: unknown): boolean =>
  fault instanceof TypeError || (fault instanceof ApiError && (fault.status === 503 || fault.status === 429));

/** Repeats with the same key until there is an answer. */
async function answered<T>(told: Told, ask: () => Promise<T>): Promise<T> {
  const giveUpAtMs = performance.now() + ANSWER_MS_MAX;
  for (;;) {
    try {
      return await ask();
    } catch (fault) {
      if (!isUnanswered(fault) || performance.now() > giveUpAtMs) throw fault;
      told.repeats += 1;
      await sleep(REPEAT_EVERY_MS);
    }
  }
}

/** Deposits, jobs, now and then a machine, until told to stop. */
async function work({ who: { tally }, told }: Caller, random: () => number, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const amountMicros = 1n + BigInt(Math.floor(random() * 1_000));
    const [depositKey, jobKey, key] = [randomUUID(), randomUUID(), randomUUID()];
    const deposit = await answered(told, () => tally.depositDevelopment(amountMicros, { key: depositKey }));
    told.deposits.push({ id: deposit.id, amountMicros });
    const maxTotalSpendMicros = 10_000n + amountMicros;
    const job = await answered(told, () => tally.jobs.create({ maxTotalSpendMicros, key: jobKey }));
    told.jobs.push({ id: job.id, maxMicros: maxTotalSpendMicros, key: jobKey });
    if (random() < 0.3) {
      const sandbox = await answered(told, () => job.sandboxes.create({ ...SMALL, key }));
      told.sandboxes.push({ id: sandbox.id, key });
    }
    if (random() < 0.5) {
      const stopKey = randomUUID();
      await answered(told, () => tally.jobs.stop(job.id, { key: stopKey }));
      told.stopped.add(job.id);
    }
    await sleep(random() * 100);
  }
}

/** One program at a time, at a random moment; whoever watches over it starts it again. */
async function killNow(platform: Platform, random: () => number): Promise<string> {
  const victim = VICTIMS[Math.floor(random() * VICTIMS.length)]!;
  await sleep(PAUSE_MS_MIN + random() * (PAUSE_MS_MAX - PAUSE_MS_MIN));
  const pid = victim === 'server' ? platform.postmasterPid() : platform.pid(victim as ProgramName);
  signal(pid, 'SIGKILL');
  return victim;
}

async function underFire(platform: Platform, callers: Caller[], seed: number): Promise<string[]> {
  const random = randomFrom(seed);
  let isOver = false;
  const working = callers.map((caller, at) => work(caller, randomFrom(seed + at + 1), () => isOver));
  const killed: string[] = [];
  for (let count = 0; count < KILLS; count += 1) killed.push(await killNow(platform, random));
  await platform.untilReady();
  isOver = true;
  await Promise.all(working);
  return killed;
}

/** Everything that was answered stands there once, and nothing stands there that nobody asked for. */
async function assertKept(platform: Platform, { who: { tally }, told }: Caller): Promise<void> {
  const { balanceMicros, depositedMicros, spentMicros, principal } = await tally.balance();
  const sum = told.deposits.reduce((total, { amountMicros }) => total + amountMicros, 0n);
  assert.equal(depositedMicros, sum, `[I-14] ${told.deposits.length} deposits were answered`);
  assert.equal(balanceMicros + spentMicros, depositedMicros);
  const listed = new Map<string, { maxTotalSpendMicros: bigint; status: JobStatus }>();
  for await (const job of tally.jobs.list()) listed.set(job.id, job);
  assert.deepEqual([...listed.keys()].sort(), told.jobs.map(({ id }) => id).sort(), '[I-15] [I-17] the jobs');
  for (const { id, maxMicros } of told.jobs) assert.equal(listed.get(id)!.maxTotalSpendMicros, maxMicros);
  for (const id of told.stopped) assert.equal(listed.get(id)!.status, JobStatus.STOPPED);
  let spent = 0n;
  const machines: string[] = [];
  for await (const { id, spentMicros: micros } of tally.sandboxes.list()) {
    machines.push(id);
    spent += micros;
  }
  assert.deepEqual(machines.sort(), told.sandboxes.map(({ id }) => id).sort(), '[I-15] the machines');
  assert.equal(spentMicros, spent, 'conservation per user');
  const [row] = await query<{ n: bigint }>(
    platform.folder,
    `select count(*) as n from engine.posting where credit = $1 and debit = 'world:deposits'`,
    [`user:${principal}`],
  );
  assert.equal(row!.n, BigInt(told.deposits.length), 'a deposit was credited twice');
}

/** The same keys again, long after: the same ids. */
async function assertReplayed({ who: { tally }, told }: Caller): Promise<void> {
  for (const { id, key, maxMicros } of told.jobs.slice(-5))
    assert.equal((await tally.jobs.create({ maxTotalSpendMicros: maxMicros, key })).id, id, '[I-15] a repeat');
}

async function verifyOffline(path: string): Promise<{ ok: boolean; receipts: number; problems: unknown[] }> {
  const args = [join(ROOT, 'terminal', 'main.ts'), 'verify', path, '--json'];
  const { stdout } = await promisify(execFile)(process.execPath, args).catch((fault: { stdout: string }) => fault);
  return JSON.parse(stdout);
}

async function endAll(callers: Caller[]): Promise<void> {
  for (const { who, told } of callers)
    for (const { id } of told.jobs)
      if (!told.stopped.has(id)) {
        await who.tally.jobs.stop(id).catch((fault: ApiError) => assert.equal(fault.code, 'job_not_active'));
        told.stopped.add(id);
      }
  const isOver = async ({ who }: Caller): Promise<boolean> => {
    for await (const { status } of who.tally.sandboxes.list()) if (status !== SandboxStatus.ENDED) return false;
    return true;
  };
  for (const caller of callers) await until('all machines have ended', () => isOver(caller), 100_000);
}

describe('nothing is lost or doubled', () => {
  test('[I-09] [I-15] [I-17] [I-21] under load, while api, meter and database are killed again and again', async (context) => {
    const seed = Number(process.env['TALLY_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
    context.diagnostic(`seed ${seed} (TALLY_SEED repeats it)`);
    await using platform = await startPlatform({ quantumMs: 2_000 });
    const callers: Caller[] = [];
    for (let count = 0; count < WALLETS; count += 1) {
      const who = await newcomer(platform.url, { attemptsMax: 1 });
      callers.push({ who, told: { deposits: [], jobs: [], sandboxes: [], stopped: new Set(), repeats: 0 } });
    }
    const killed = await underFire(platform, callers, seed);
    const total = (of: (told: Told) => number): number => callers.reduce((sum, { told }) => sum + of(told), 0);
    const counts = [
      total((told) => told.deposits.length),
      total((told) => told.jobs.length),
      total((told) => told.sandboxes.length),
    ];
    context.diagnostic(
      `killed ${killed.join(' ')}; ${counts.join(' deposits, ')} jobs and machines; ${total((told) => told.repeats)} repeats`,
    );
    assert.ok(total((told) => told.repeats) > 0, 'nobody noticed a death: this showed nothing');
    await endAll(callers);
    for (const caller of callers) await assertKept(platform, caller);
    for (const caller of callers) await assertReplayed(caller);
    assert.deepEqual(await bookProblems(platform.folder), [], '[I-09] [I-18] the books and the log');
    const exports = temporaryFolder();
    try {
      await Promise.all(
        callers.map(async ({ who }, at) => {
          const path = join(exports, `${at}.jsonl`);
          await who.tally.receipts.export(path);
          const { ok, problems } = await verifyOffline(path);
          assert.ok(ok, `[I-21] ${JSON.stringify(problems)}`);
        }),
      );
    } finally {
      rmSync(exports, { recursive: true, force: true });
    }
  });
});
