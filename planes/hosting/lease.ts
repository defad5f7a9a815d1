/**
 * The arithmetic of sold time: when the next step is sold, what is settled, what is given back.
 * Promise: pure integers; whole seconds are given back, a second in progress is not, and never more than was charged.
 */
import { type JsonObject, mulDivCeil, mulDivFloor } from '@tallystick/kernel';
import type { SandboxState, Step } from './sandbox-state.ts';

/** A machine may take this long until it is ready; its first step counts from then. */
export const START_ALLOWANCE_MS = 30_000;
/** A provider may take this long, beyond the grace time, to report an end. */
export const REPORT_ALLOWANCE_MS = 60_000;
/** A machine that was silent for two steps, and for no less than this, counts as lost. */
const LOST_AFTER_MS_MIN = 10_000;
/** How much later than that a loss is noticed at the latest. */
const LOSS_NOTICED_MS_MAX = 50_000;
const RENEW_BEFORE_MS_MAX = 20_000;
const RENEW_BEFORE_MS_MIN = 500;
/** How often money is looked for at first, and at last; in between after an eighth of the time it was waited for. */
const FUNDS_RETRY_FIRST_MS_MAX = 1_000;
const FUNDS_RETRY_MS_MAX = 4_000;
const FUNDS_WAITED_PER_RETRY = 8;
const STEP_MS_MIN = 1_000;
const US_PER_MS = 1_000n;
const US_PER_SECOND = 1_000_000n;

/** How long before the paid time is over the next step is sold. */
export const renewBeforeMs = (quantumMs: number): number =>
  Math.min(RENEW_BEFORE_MS_MAX, Math.max(RENEW_BEFORE_MS_MIN, Math.floor((quantumMs * 2) / 5)));

/** How long a machine may be silent before what runs on it counts as lost. */
export const lostAfterMs = (quantumMs: number): number => Math.max(LOST_AFTER_MS_MIN, 2 * quantumMs);

/** A step stays in escrow until its loss would have been noticed, so that what never ran can be given back. */
const settleAfterUs = (quantumMs: number): bigint => BigInt(lostAfterMs(quantumMs) + LOSS_NOTICED_MS_MAX) * US_PER_MS;

/** How long to wait for money before trying again: each try leaves a receipt, so a long wait has fewer of them. */
export const fundsRetryMs = (quantumMs: number, waitedMs: number): number =>
  Math.max(
    Math.min(FUNDS_RETRY_FIRST_MS_MAX, Math.floor(quantumMs / 2)),
    Math.min(FUNDS_RETRY_MS_MAX, Math.floor(waitedMs / FUNDS_WAITED_PER_RETRY)),
  );

/** A step is sold only if at least this much of the time to live remains. */
export const stepUsMin = (quantumMs: number): bigint => BigInt(Math.min(quantumMs, STEP_MS_MIN)) * US_PER_MS;

export const quantumUs = (state: SandboxState): bigint => BigInt(state.quantum_ms) * US_PER_MS;
export const graceEndsUs = (state: SandboxState): bigint =>
  BigInt(state.paid_until_us) + BigInt(state.grace_ms) * US_PER_MS;

/** When the next step is to be sold. */
export const sellAtUs = (state: SandboxState): bigint =>
  BigInt(state.paid_until_us) - BigInt(renewBeforeMs(state.quantum_ms)) * US_PER_MS;

/** The moment from which it counts as idle; undefined while a command runs in it or it has no idle timeout. */
export function sandboxIdleAtUs(state: SandboxState): bigint | undefined {
  if (state.idle_timeout_ms === null || state.execs.length > 0) return undefined;
  const lastUs = largerOf(BigInt(state.last_activity_at_us), BigInt(state.active_until_us));
  return lastUs + BigInt(state.idle_timeout_ms) * US_PER_MS;
}

/** The first step of a sandbox that opens now: it may begin any time within the allowance. */
export const firstStep = (quantumMs: number, priceMicros: bigint, atUs: bigint): Step => ({
  seq: 1,
  starts_at_us: String(atUs),
  ends_at_us: String(atUs + BigInt(START_ALLOWANCE_MS + quantumMs) * US_PER_MS),
  price_micros: String(priceMicros),
});

/** The step after the last one; it begins now when the paid time is over already. */
export function nextStep(state: SandboxState, atUs: bigint): Step {
  const startsAtUs = largerOf(atUs, BigInt(state.paid_until_us));
  return {
    seq: state.minutes_sold + 1,
    starts_at_us: String(startsAtUs),
    ends_at_us: String(startsAtUs + quantumUs(state)),
    price_micros: state.price_micros_per_quantum,
  };
}

/** Paid, neither delivered nor given back. */
export const escrowMicros = (state: SandboxState): bigint =>
  BigInt(state.charged_micros) - BigInt(state.refunded_micros) - BigInt(state.settled_micros);

/** Steps whose delivery is beyond doubt, as they go to the provider; what is owed for standing still stays in escrow. */
export function settlementAt(state: SandboxState, atUs: bigint): { seq: number; amountMicros: bigint } {
  const certainUs = atUs - settleAfterUs(state.quantum_ms);
  const over = state.open_steps.filter(({ ends_at_us }) => BigInt(ends_at_us) <= certainUs);
  const [overMicros, openMicros] = [sumOf(over), sumOf(state.open_steps.slice(over.length))];
  const free = escrowMicros(state) - openMicros - stoodStillMicros(state);
  return { seq: over.at(-1)?.seq ?? 0, amountMicros: largerOf(0n, smallerOf(overMicros, free)) };
}

const sumOf = (steps: Step[]): bigint => steps.reduce((sum, { price_micros }) => sum + BigInt(price_micros), 0n);

/** The price of the paid time in which it stood still although it was to run. */
const stoodStillMicros = (state: SandboxState): bigint =>
  secondsMicros(state, BigInt(state.price_micros_per_quantum), BigInt(state.undelivered_us));

/** How much of the open steps lies between two moments. */
export function paidBetweenUs(state: SandboxState, fromUs: bigint, toUs: bigint): bigint {
  const overlaps = state.open_steps.map(({ starts_at_us, ends_at_us }) => {
    const lengthUs = smallerOf(BigInt(ends_at_us), toUs) - largerOf(BigInt(starts_at_us), fromUs);
    return lengthUs > 0n ? lengthUs : 0n;
  });
  return overlaps.reduce((sum, one) => sum + one, 0n);
}

/** When it stopped running, if it ended at that moment: not after the paid time and not after it froze. */
export function stoppedAtUs(state: SandboxState, endUs: bigint): bigint {
  const ends = [
    endUs,
    BigInt(state.paid_until_us),
    ...(state.frozen_at_us === null ? [] : [BigInt(state.frozen_at_us)]),
  ];
  return largerOf(ends.reduce(smallerOf), BigInt(state.started_at_us ?? state.created_at_us));
}

/**
 * What is given back to the payer when the machine ran until then: at most what lies in escrow, and what is kept covers
 * the time that the machine measured itself, whatever its wall clock says.
 */
export function refundMicros(state: SandboxState, ranUntilUs: bigint, ranMs: number): bigint {
  const escrow = escrowMicros(state);
  if (state.started_at_us === null) return escrow;
  const priceMicros = BigInt(state.price_micros_per_quantum);
  const unused = state.open_steps.map((step) => unusedMicros(state, step, ranUntilUs));
  const undelivered = unused.reduce((sum, one) => sum + one, stoodStillMicros(state));
  const used = mulDivCeil(priceMicros, BigInt(ranMs) * US_PER_MS, quantumUs(state));
  return largerOf(0n, [undelivered, BigInt(state.charged_micros) - used].reduce(smallerOf, escrow));
}

function unusedMicros(state: SandboxState, step: Step, ranUntilUs: bigint): bigint {
  const [startsUs, endsUs] = [BigInt(step.starts_at_us), BigInt(step.ends_at_us)];
  if (ranUntilUs <= startsUs) return BigInt(step.price_micros);
  return ranUntilUs >= endsUs ? 0n : shareMicros(state, BigInt(step.price_micros), endsUs - ranUntilUs);
}

/** The price of the whole seconds in a part of one step, rounded down. */
const shareMicros = (state: SandboxState, priceMicros: bigint, lengthUs: bigint): bigint =>
  smallerOf(secondsMicros(state, priceMicros, lengthUs), priceMicros);

/** The price of the whole seconds in a stretch of time at the price of a step, rounded down. */
const secondsMicros = (state: SandboxState, priceMicros: bigint, lengthUs: bigint): bigint =>
  mulDivFloor(priceMicros, (lengthUs / US_PER_SECOND) * US_PER_SECOND, quantumUs(state));

/** What a RunTicket says of a step, as far as the rule knows it; the receipt's id and hash are added by who signs. */
export const ticketOf = (state: SandboxState, step: Step): JsonObject => ({
  sandbox: state.id,
  incarnation: state.incarnation,
  seq: step.seq,
  minutes: step.seq,
  starts_at_us: step.starts_at_us,
  paid_until_us: step.ends_at_us,
  duration_ms: state.quantum_ms,
  price_micros: step.price_micros,
  job: state.job,
  final: false,
});

export const smallerOf = (a: bigint, b: bigint): bigint => (a < b ? a : b);
export const largerOf = (a: bigint, b: bigint): bigint => (a > b ? a : b);
