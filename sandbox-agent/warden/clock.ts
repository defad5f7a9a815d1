/**
 * The two clocks of a lease and what is left of one; warden and reaper share this arithmetic.
 * Promise: a wall clock that is stepped, either way, can only shorten a lease.
 */

export interface Clock {
  /** Milliseconds since 1970; may be stepped. */
  wallMs(): number;
  /** Milliseconds of CLOCK_MONOTONIC: the same count in every process of the machine; never stepped. */
  monotonicMs(): number;
}

/** The warden freezes this much before the paid end: lateness was measured up to 110 ms under load. */
export const WARDEN_MARGIN_MS = 250;
/** The reaper, the second line, a little later, but still before the paid end. */
export const REAPER_MARGIN_MS = 120;

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => Number(process.hrtime.bigint() / 1_000n) / 1_000,
};

/** Until when a tree may run: both clocks bound it. */
export interface Bounds {
  paidUntilMs: number;
  endsAtMonotonicMs: number;
}

/** Milliseconds until the tree must stand still; negative when that is past. */
export function remainingMs(bounds: Bounds, clock: Clock, marginMs: number): number {
  return Math.min(bounds.paidUntilMs - clock.wallMs(), bounds.endsAtMonotonicMs - clock.monotonicMs()) - marginMs;
}
