/**
 * Callers who keep asking while programs die under them, and what they were told.
 * Promise: whoever gets no answer repeats with the same key; what was answered is held against the platform afterwards.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, JobStatus, SandboxStatus, UnreachableError } from '@tallystick/sdk';
import { query } from './books.ts';
import { assertExportsVerify } from './exports.ts';
import { type Newcomer, newcomer } from './newcomer.ts';
import type { Platform } from './platform.ts';
import { until } from './until.ts';

/** Nobody waits longer for one answer than this, over all repetitions. */
const ANSWER_MS_MAX = 90_000;
const REPEAT_EVERY_MS = 100;
const END_MS_MAX = 100_000;
const REPLAYED_JOBS_MAX = 5;

/** What one caller was told, by what it asked for. */
export interface Told {
  deposits: { id: string; amountMicros: bigint }[];
  jobs: { id: string; maxMicros: bigint; key: string }[];
  sandboxes: { id: string; key: string }[];
  stopped: Set<string>;
  repeats: number;
}

export interface Caller {
  who: Newcomer;
  told: Told;
}

/** Reproducible: the same numbers for the same seed. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** The seed of a test, printed by it and read from TALLY_SEED. */
export const seedOfTest = (): number => Number(process.env['TALLY_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

export async function callersOf(platform: Platform, count: number): Promise<Caller[]> {
  const callers: Caller[] = [];
  while (callers.length < count) {
    const who = await newcomer(platform.url, { attemptsMax: 1 });
    callers.push({ who, told: { deposits: [], jobs: [], sandboxes: [], stopped: new Set(), repeats: 0 } });
  }
  return callers;
}

const isUnanswered = (fault: unknown): boolean =>
  fault instanceof TypeError ||
  fault instanceof UnreachableError ||
  (fault instanceof ApiError && (fault.status === 503 || fault.status === 429));

/** Repeats with the same key until there is an answer. */
export async function answered<T>(told: Pick<Told, 'repeats'>, ask: () => Promise<T>): Promise<T> {
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

/** Everything that was answered stands there once, and nothing stands there that nobody asked for. */
export async function assertKept(platform: Platform, { who: { tally }, told }: Caller): Promise<void> {
  const { balanceMicros, depositedMicros, spentMicros, principal } = await tally.balance();
  const sum = told.deposits.reduce((total, { amountMicros }) => total + amountMicros, 0n);
  assert.equal(depositedMicros, sum, `[I-14] ${told.deposits.length} deposits were answered`);
  assert.equal(balanceMicros + spentMicros, depositedMicros);
  const listed = new Map<string, { maxTotalSpendMicros: bigint; status: JobStatus }>();
  for await (const job of tally.jobs.list()) listed.set(job.id, job);
  assert.deepEqual([...listed.keys()].sort(), told.jobs.map(({ id }) => id).sort(), '[I-15] [I-17] the jobs');
  for (const { id, maxMicros } of told.jobs) assert.equal(listed.get(id)!.maxTotalSpendMicros, maxMicros);
  for (const id of told.stopped) assert.notEqual(listed.get(id)!.status, JobStatus.ACTIVE);
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
    `select count(*) as n from engine.posting where credit = $1 and debit like 'chain:%'`,
    [`user:${principal}`],
  );
  assert.equal(row!.n, BigInt(told.deposits.length), 'a deposit was credited twice');
}

/** The same keys again, long after: the same ids. */
export async function assertReplayed({ who: { tally }, told }: Caller): Promise<void> {
  for (const { id, key, maxMicros } of told.jobs.slice(-REPLAYED_JOBS_MAX))
    assert.equal((await tally.jobs.create({ maxTotalSpendMicros: maxMicros, key })).id, id, '[I-15] a repeat');
}

/** Stops every job that is still open and waits until no machine is left. */
export async function endAll(callers: readonly Caller[]): Promise<void> {
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
  for (const caller of callers) await until('all machines have ended', () => isOver(caller), END_MS_MAX);
}

/** [I-21] Each caller's own export, checked by the offline program. */
export const assertVerified = (callers: readonly Caller[]): Promise<void> =>
  assertExportsVerify(callers.map(({ who }) => who.tally));
