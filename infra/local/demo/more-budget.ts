/**
 * More budget for work that takes longer than was planned, as whoever waits for its report would give it.
 * Promise: only while the work goes on, each time said aloud, and so often at most.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Job, Sandbox, Tally } from '@tallystick/sdk';
import type { Narrator } from './narrator.ts';
import { usd } from './text.ts';

const LOOK_EVERY_MS = 500;
/** With less than this many sold steps to go there is more. */
const STEPS_LEFT_MIN = 5n;
const TIMES_MAX = 12;

export interface MoreBudget {
  tally: Tally;
  job: Job;
  sandbox: Sandbox;
  stepMicros: bigint;
  say: Narrator;
  lookEveryMs?: number;
}

/** Does the work, and extends the job while it lasts. @errors rejects with what the work rejects with */
export async function withMoreBudget<T>(terms: MoreBudget, work: () => Promise<T>): Promise<T> {
  const over = new AbortController();
  const extending = extendUntil(over.signal, terms).catch((fault: Error) => {
    if (!over.signal.aborted) terms.say.bad(`the job could not be extended: ${fault.message}`);
  });
  try {
    return await work();
  } finally {
    over.abort();
    await extending;
  }
}

async function extendUntil(over: AbortSignal, terms: MoreBudget): Promise<void> {
  const { tally, job, sandbox, stepMicros, say, lookEveryMs = LOOK_EVERY_MS } = terms;
  for (let times = 0; times < TIMES_MAX; ) {
    await sleep(lookEveryMs, undefined, { signal: over });
    const { remainingMicros } = await job.refresh();
    if (remainingMicros >= STEPS_LEFT_MIN * sandbox.state!.priceMicrosPerQuantum) continue;
    await tally.depositDevelopment(stepMicros);
    const { maxTotalSpendMicros } = await job.extend({ addSpendMicros: stepMicros });
    say.line(`the work takes longer than planned: the job may spend ${usd(maxTotalSpendMicros)} now`);
    times += 1;
  }
}
