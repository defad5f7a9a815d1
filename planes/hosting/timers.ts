/**
 * The alarms of a sandbox.
 * Promise: a round is the moment it is due, so an alarm that is set anew never has the key of one that fired.
 */
import { dayOf, type JsonObject, type Timer } from '@tallystick/kernel';
import { fundsRetryMs, largerOf, REPORT_ALLOWANCE_MS, START_ALLOWANCE_MS, sellAtUs } from './lease.ts';
import type { SandboxState } from './sandbox-state.ts';

const US_PER_MS = 1_000n;

type Name = 'start' | 'lease' | 'ttl' | 'end';

function timerAt(state: SandboxState, name: Name, type: string, dueUs: bigint, body: JsonObject = {}): Timer {
  const command = { stream: `sandbox:${state.id}`, type, body };
  return { timer: `${name}:${state.id}`, round: Number(dueUs), dueUs, command };
}

/** Gives up on a machine that does not get ready. */
export const startTimer = (state: SandboxState): Timer =>
  timerAt(state, 'start', 'FailStart', BigInt(state.created_at_us) + BigInt(START_ALLOWANCE_MS) * US_PER_MS);

/** Sells the next step before the paid one is over; at once when that moment has passed. */
export const leaseTimer = (state: SandboxState, atUs: bigint): Timer =>
  sellingAt(state, largerOf(sellAtUs(state), atUs + 1n));

/** Tries to sell again soon, since money may arrive; less often the longer none came. */
export function retryTimer(state: SandboxState, atUs: bigint): Timer {
  const waitedMs = Number((atUs - sellAtUs(state)) / US_PER_MS);
  return sellingAt(state, atUs + BigInt(fundsRetryMs(state.quantum_ms, waitedMs)) * US_PER_MS);
}

/** Names all that selling looks at; the day is the one whose spending it will count to. */
const sellingAt = (state: SandboxState, dueUs: bigint): Timer =>
  timerAt(state, 'lease', 'SellMinute', dueUs, {
    job: state.job,
    payer: state.owner,
    provider: state.provider,
    day: dayOf(dueUs),
  });

/** Stops it when its time to live is over. */
export const ttlTimer = (state: SandboxState, atUs: bigint): Timer =>
  timerAt(state, 'ttl', 'StopAtTtl', largerOf(BigInt(state.expires_at_us), atUs + 1n));

/** Ends it when the provider never says that it ended: by then no lease can run any more. */
export function endTimer(state: SandboxState, endsAtUs: bigint): Timer {
  const lastUs = largerOf(endsAtUs, BigInt(state.paid_until_us));
  return timerAt(state, 'end', 'AssumeEnded', lastUs + BigInt(state.grace_ms + REPORT_ALLOWANCE_MS) * US_PER_MS);
}

/** Takes alarms back. */
export const clearedTimers = (state: SandboxState, ...names: Name[]): Timer[] =>
  names.map((name) => ({ ...timerAt(state, name, 'AssumeEnded', 0n), dueUs: undefined }));
