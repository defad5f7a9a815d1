/**
 * Ten minutes in which database, api, meter and warden die at random moments under load (TALLY_KILLS_MINUTES).
 * Promise: afterwards the books are right, every answer stands there once, everything has ended with one typed reason, no
 * machine ran unpaid, every reader has caught up, and the host holds nothing of it. TALLY_SEED repeats a run's choices.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { StopReason } from '@tallystick/sdk';
import { bookProblems, earnedMicros, escrowMicros, query, receiptsOf } from './harness/books.ts';
import { type Done, liveOn, newDone } from './harness/busy-life.ts';
import {
  assertKept,
  assertReplayed,
  assertVerified,
  type Caller,
  callersOf,
  endAll,
  randomFrom,
  seedOfTest,
} from './harness/callers.ts';
import { reasonWord } from './harness/lease.ts';
import { type MachineWatch, watchMachine } from './harness/machine.ts';
import { type Platform, startPlatform } from './harness/platform.ts';
import { signal } from './harness/processes.ts';
import { msOf } from './harness/time.ts';
import { until } from './harness/until.ts';

const MINUTES = Number(process.env['TALLY_KILLS_MINUTES'] ?? 10);
const WALLETS = 5;
const QUANTUM_MS = 2_000;
const GRACE_MS = 1_500;
const PAUSE_MS_MIN = 200;
const PAUSE_MS_MAX = 7_000;
/** So often the next death waits until all run again; or a slow machine would never start what dies sooner than that. */
const CALM_SHARE = 0.5;
/** Now and then two die within one breath. */
const TWICE_SHARE = 0.15;
const VICTIMS = ['api', 'meter', 'database', 'server', 'warden'] as const;
/** The moment a look at the kernel's files belongs to is known this well on a loaded machine. */
const LOOK_MS = 60;
const DISCOVER_EVERY_MS = 100;
/** Answers must come in every stretch as long as this: being killed is no reason to stand still. */
const NO_ANSWER_MS_MAX = 90_000;
const SETTLED_MS_MAX = 120_000;

type Victim = (typeof VICTIMS)[number];

const pidOf = (platform: Platform, victim: Victim): number | undefined =>
  victim === 'server' ? platform.postmasterPid() : platform.pid(victim);

/** Kills until it is over. Resolves with how often whom. */
async function killOn(platform: Platform, random: () => number, isOver: () => boolean): Promise<Map<Victim, number>> {
  const killed = new Map<Victim, number>();
  const killOne = (): void => {
    const victim = VICTIMS[Math.floor(random() * VICTIMS.length)]!;
    if (signal(pidOf(platform, victim), 'SIGKILL')) killed.set(victim, (killed.get(victim) ?? 0) + 1);
  };
  while (!isOver()) {
    if (random() < CALM_SHARE) await platform.untilReady().catch(() => undefined);
    await sleep(PAUSE_MS_MIN + random() * (PAUSE_MS_MAX - PAUSE_MS_MIN));
    if (isOver()) break;
    killOne();
    if (random() < TWICE_SHARE) killOne();
  }
  return killed;
}

/** Watches every machine that the callers are told of, from outside. */
function watchAll(callers: readonly Caller[]) {
  const watches = new Map<string, MachineWatch>();
  const isKnown = new Set<string>();
  const timer = setInterval(() => {
    for (const { told } of callers)
      for (const { id } of told.sandboxes.slice(-2)) {
        if (isKnown.has(id)) continue;
        isKnown.add(id);
        watchMachine(id).then(
          (watch) => watches.set(id, watch),
          () => undefined, // it never had a machine
        );
      }
    for (const watch of watches.values()) if (watch.isGone()) watch[Symbol.dispose]();
  }, DISCOVER_EVERY_MS);
  return {
    watches,
    [Symbol.dispose]() {
      clearInterval(timer);
      for (const watch of watches.values()) watch[Symbol.dispose]();
    },
  };
}

/** Follows a caller's receipts from the first on, over every death of the api. */
function followReceipts({ who: { tally } }: Caller) {
  const end = new AbortController();
  const cursors: bigint[] = [];
  const read = async (): Promise<void> => {
    const options = { after: 0n, signal: end.signal, lostMsMax: NO_ANSWER_MS_MAX };
    for await (const { cursor } of tally.live.follow('account', options)) cursors.push(cursor);
  };
  const over = read().catch((fault: unknown) => {
    if (!end.signal.aborted) return fault;
  });
  return { cursors, stop: () => end.abort(), over };
}

/** Fails while nobody gets an answer although everything that dies is started again. */
async function assertProgress(callers: readonly Caller[], isOver: () => boolean): Promise<void> {
  const count = (): number => callers.reduce((sum, { told }) => sum + told.deposits.length, 0);
  let [last, lastAtMs] = [count(), performance.now()];
  while (!isOver()) {
    await sleep(1_000);
    const now = count();
    if (now > last) [last, lastAtMs] = [now, performance.now()];
    assert.ok(performance.now() - lastAtMs < NO_ANSWER_MS_MAX, `no deposit was answered for ${NO_ANSWER_MS_MAX} ms`);
  }
}

/** [I-01] [I-05] [I-06] of one machine that has ended. */
async function assertOver(platform: Platform, caller: Caller, id: string, watch?: MachineWatch): Promise<string> {
  const state = await (await caller.who.tally.sandboxes.get(id)).refresh();
  const { stopReason, spentMicros, quantumMs, priceMicrosPerQuantum, ranMs } = state;
  const at = `${id} (${reasonWord(stopReason)})`;
  assert.notEqual(stopReason, StopReason.UNSPECIFIED, at);
  assert.equal(await escrowMicros(platform.folder, id), 0n, `money is left in escrow of ${at}`);
  const earned = await earnedMicros(platform.folder, id);
  assert.equal(earned, spentMicros, `the provider of ${at} got something else than what was spent`);
  const receipts = await receiptsOf(platform.folder, `sandbox:${id}`);
  const parted = receipts.filter(({ postings }) => postings.some(({ debit }) => debit === 'slot:running'));
  assert.deepEqual(
    parted.map(({ policy }) => policy.rule),
    [reasonWord(stopReason)],
    `${at} did not end exactly once`,
  );
  const startedAtMs = msOf(state.startedAt);
  if (Number.isNaN(startedAtMs)) {
    assert.equal(spentMicros, 0n, `${at} was never ready for its owner, and costs`);
    return reasonWord(stopReason);
  }
  const paidMs = Number((earned * quantumMs) / priceMicrosPerQuantum);
  assert.ok(Number(ranMs) <= paidMs, `[I-01] the warden of ${at} counted ${ranMs} ms and ${paidMs} ms are paid`);
  if (watch) {
    const seenMs = watch.ranMs(startedAtMs);
    assert.ok(seenMs <= paidMs + LOOK_MS, `[I-01] ${at} was seen running ${seenMs} ms and ${paidMs} ms are paid`);
    assert.ok(watch.isGone(), `the cgroup of ${at} is still there`);
  }
  return reasonWord(stopReason);
}

/** Every acknowledged command started once by the log, and every one that started has ended or died with its machine. */
async function assertCommands(platform: Platform, { execs }: Done): Promise<void> {
  const rows = await query<{ sandbox: string; exec: string; n: bigint }>(
    platform.folder,
    `select stream as sandbox, convert_from(payload, 'UTF8')::json->'command'->'body'->>'exec_id' as exec, count(*) as n
     from engine.receipt where stream like 'sandbox:%' and convert_from(payload, 'UTF8')::json->'command'->>'type' = 'StartExec'
       and convert_from(payload, 'UTF8')::json->'decision'->>'rejection' is null group by 1, 2`,
  );
  const starts = new Map(rows.map(({ sandbox, exec, n }) => [`${sandbox} ${exec}`, n]));
  for (const { sandbox, execId } of execs)
    assert.equal(starts.get(`sandbox:${sandbox} ${execId}`), 1n, `${execId} was answered and is not receipted once`);
}

const STUCK = `
select 'the message ' || topic || ' at ' || pos || ' waits: ' || coalesce(last_error, 'no error') as stuck
  from engine.outbox where not done
union all
select 'the timer ' || timer || ' is late' from engine.timer
  where due_us < extract(epoch from now()) * 1000000 - 10000000
union all
select stream || ' is ' || status from engine.stream_head where kind = 'sandbox' and status <> 'ended'
union all
select 'the account ' || account || ' holds ' || (credits_posted - debits_posted) from engine.account
  where account like 'escrow:%' and credits_posted <> debits_posted`;

async function assertNothingStuck(platform: Platform): Promise<void> {
  const stuck = async (): Promise<string[]> =>
    (await query<{ stuck: string }>(platform.folder, STUCK)).map((row) => row.stuck);
  await until('nothing waits', async () => (await stuck()).length === 0, SETTLED_MS_MAX).catch(async () =>
    assert.deepEqual(await stuck(), []),
  );
  const left = join(platform.folder, 'warden', 'deadlines');
  await until('no machine is left', () => machinesIn(left).length === 0).catch(() =>
    assert.deepEqual(machinesIn(left), []),
  );
}

/** Those that wait in the pool belong to nobody. */
const machinesIn = (folder: string): string[] => readdirSync(folder).filter((name) => name.startsWith('sbx_'));

async function assertReadersCaughtUp(platform: Platform, caller: Caller, reader: ReturnType<typeof followReceipts>) {
  const { principal } = await caller.who.tally.balance();
  const rows = await query<{ pos: bigint }>(
    platform.folder,
    'select pos from engine.receipt where owner = $1 order by pos',
    [principal],
  );
  await until('the reader has read the last receipt', () => reader.cursors.at(-1) === rows.at(-1)!.pos + 1n);
  assert.deepEqual(
    reader.cursors,
    rows.map(({ pos }) => pos + 1n),
    '[I-27] a reader missed a receipt or saw one twice',
  );
  reader.stop();
  assert.equal(await reader.over, undefined);
}

interface Load {
  killed: Map<Victim, number>;
  done: Done;
}

/** Everybody lives, everything dies, until the time is over or something is wrong. */
async function underFire(platform: Platform, callers: readonly Caller[], seed: number): Promise<Load> {
  const done = newDone();
  let isOver = false;
  const living = callers.map((caller, at) => liveOn(caller, done, randomFrom(seed + at + 1), () => isOver));
  const progress = assertProgress(callers, () => isOver);
  const killing = killOn(platform, randomFrom(seed), () => isOver);
  try {
    await Promise.race([sleep(MINUTES * 60_000), progress, Promise.all(living)]);
  } finally {
    isOver = true;
    await Promise.allSettled([...living, progress, killing]);
  }
  const killed = await killing;
  await platform.untilReady();
  await Promise.all(living);
  return { killed, done };
}

const told = (counts: Map<string, number>): string => [...counts].map(([name, n]) => `${name} ${n}`).join(', ');

async function assertAllOver(platform: Platform, callers: readonly Caller[], machines: Map<string, MachineWatch>) {
  const reasons = new Map<string, number>();
  for (const caller of callers)
    for (const { id } of caller.told.sandboxes) {
      const reason = await assertOver(platform, caller, id, machines.get(id));
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
  return reasons;
}

test(`[I-01] [I-05] [I-15] [I-17] [I-27] ${MINUTES} minutes of random deaths: invariants hold, nothing is stuck`, async (context) => {
  const seed = seedOfTest();
  context.diagnostic(`seed ${seed} (TALLY_SEED repeats it)`);
  await using platform = await startPlatform({ quantumMs: QUANTUM_MS, graceMs: GRACE_MS });
  const callers = await callersOf(platform, WALLETS);
  const readers = callers.map(followReceipts);
  using machines = watchAll(callers);
  try {
    const { killed, done } = await underFire(platform, callers, seed);
    context.diagnostic(`killed: ${told(killed)}; ${done.lives} lives`);
    await endAll(callers);
    const reasons = await assertAllOver(platform, callers, machines.watches);
    const { execs, uploads, refusals } = done;
    context.diagnostic(
      `ends: ${told(reasons)}; ${execs.length} commands, ${uploads} files, refused: ${told(refusals)}`,
    );
    for (const caller of callers) await assertKept(platform, caller);
    for (const caller of callers) await assertReplayed(caller);
    await assertCommands(platform, done);
    await assertNothingStuck(platform);
    assert.deepEqual(await bookProblems(platform.folder), [], '[I-09] [I-18] the books and the log');
    for (const [at, reader] of readers.entries()) await assertReadersCaughtUp(platform, callers[at]!, reader);
    await assertVerified(callers);
  } catch (fault) {
    context.diagnostic(platform.complaints().join('\n'));
    throw fault;
  } finally {
    for (const reader of readers) reader.stop();
  }
});
