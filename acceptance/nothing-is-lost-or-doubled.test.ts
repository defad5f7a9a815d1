/**
 * What callers can rely on while the platform's programs die under load: what was answered stays, and nothing happens twice.
 * Promise: api, meter and database get SIGKILL at many random points; whoever gets no answer repeats with the same key.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bookProblems } from './harness/books.ts';
import {
  answered,
  assertKept,
  assertReplayed,
  assertVerified,
  type Caller,
  callersOf,
  endAll,
  randomFrom,
  seedOfTest,
  type Told,
} from './harness/callers.ts';
import { SMALL } from './harness/lease.ts';
import { type Platform, type ProgramName, startPlatform } from './harness/platform.ts';
import { signal } from './harness/processes.ts';

const WALLETS = 8;
const KILLS = 12;
const PAUSE_MS_MIN = 300;
const PAUSE_MS_MAX = 1_500;
const VICTIMS = ['api', 'meter', 'database', 'server'] as const;

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

describe('nothing is lost or doubled', () => {
  test('[I-09] [I-15] [I-17] [I-21] under load, while api, meter and database are killed again and again', async (context) => {
    const seed = seedOfTest();
    context.diagnostic(`seed ${seed} (TALLY_SEED repeats it)`);
    await using platform = await startPlatform({ quantumMs: 2_000 });
    const callers = await callersOf(platform, WALLETS);
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
    await assertVerified(callers);
  });
});
