/**
 * The golden rule as a measurement: what the host's kernel and the machine's own clock saw against what the ledger says.
 * Promise: fails with both figures when a machine ran unpaid, ended without one typed reason, or kept somebody's money.
 */
import assert from 'node:assert/strict';
import { StopReasonSchema } from '@tallystick/proto';
import type { CreateSandboxOptions, Job, Sandbox, SandboxState, StopReason } from '@tallystick/sdk';
import { SandboxStatus } from '@tallystick/sdk';
import { earnedMicros, escrowMicros, receiptsOf } from './books.ts';
import { type MachineWatch, startTicker, type Ticker, watchMachine } from './machine.ts';
import { msOf } from './time.ts';
import { until } from './until.ts';

/** Small enough that many fit on a small host; its price per second is several micros. */
export const SMALL: CreateSandboxOptions = { cpuMillis: 1_000, ramMib: 128, diskMib: 32 };
/** Micros for one second of SMALL. */
export const SECOND_MICROS = 7n;
/** The moment a look at the kernel's files belongs to is known this well. */
const LOOK_MS = 30;
const END_MS_MAX = 60_000;

export interface Watched extends Disposable {
  sandbox: Sandbox;
  machine: MachineWatch;
  ticker: Ticker;
}

/** Buys a machine, starts a clock in it and watches it from outside. */
export async function buyWatched(job: Job, options: CreateSandboxOptions = {}): Promise<Watched> {
  const sandbox = await job.sandboxes.create({ ...SMALL, ...options });
  const machine = await watchMachine(sandbox.id);
  const ticker = await startTicker(sandbox).catch((fault: unknown) => {
    machine[Symbol.dispose]();
    throw fault;
  });
  return { sandbox, machine, ticker, [Symbol.dispose]: () => endWatch(machine, ticker) };
}

function endWatch(machine: MachineWatch, ticker: Ticker): void {
  machine[Symbol.dispose]();
  ticker[Symbol.dispose]();
}

export async function untilEnded(sandbox: Sandbox, waitMs = END_MS_MAX): Promise<SandboxState> {
  return until(
    `${sandbox.id} has ended`,
    async () => {
      const state = await sandbox.refresh();
      return state.status === SandboxStatus.ENDED && state;
    },
    waitMs,
  );
}

/** [I-01] [I-05] [I-06] for one machine that has ended. */
export async function assertLeaseKept(folder: string, watched: Watched, reason: StopReason): Promise<SandboxState> {
  const { sandbox, machine, ticker } = watched;
  const state = await untilEnded(sandbox);
  await ticker.close();
  assert.equal(state.stopReason, reason);
  assert.ok(machine.isGone(), 'its cgroup is still there');
  const paidUntilMs = msOf(state.paidUntil);
  const lastTickMs = ticker.ticksMs.at(-1)!;
  assert.ok(lastTickMs <= paidUntilMs, `it ticked ${lastTickMs - paidUntilMs} ms after what was paid`);
  const lateMs = machine.lastRunningAtMs - paidUntilMs;
  assert.ok(lateMs <= LOOK_MS, `it was seen running ${lateMs} ms after what was paid`);
  await assertPaid(folder, state, machine);
  await assertOneReason(folder, state);
  return state;
}

/** Paid time in the ledger is at least the time that the cgroup was seen running since it was ready. */
async function assertPaid(folder: string, state: SandboxState, machine: MachineWatch): Promise<void> {
  const earned = await earnedMicros(folder, state.id);
  assert.equal(await escrowMicros(folder, state.id), 0n, 'money is left in escrow');
  assert.equal(earned, state.spentMicros, 'the provider got something else than what was spent');
  const paidMs = Number((earned * state.quantumMs) / state.priceMicrosPerQuantum);
  const ranMs = machine.ranMs(msOf(state.startedAt));
  assert.ok(ranMs <= paidMs + LOOK_MS, `it was seen running ${ranMs} ms and ${paidMs} ms are paid`);
  assert.ok(Number(state.ranMs) <= paidMs, `its warden counted ${state.ranMs} ms and ${paidMs} ms are paid`);
}

async function assertOneReason(folder: string, state: SandboxState): Promise<void> {
  const receipts = await receiptsOf(folder, `sandbox:${state.id}`);
  const parted = receipts.filter(({ postings }) => postings.some(({ debit }) => debit === 'slot:running'));
  assert.equal(parted.length, 1, 'it did not end exactly once');
  assert.equal(parted[0]!.policy.rule, reasonWord(state.stopReason), 'the receipt names another reason');
}

/** `job_cap` */
export const reasonWord = (reason: StopReason): string => StopReasonSchema.value[reason]!.localName.toLowerCase();
