/**
 * Moments of contract messages as milliseconds.
 * Promise: a missing moment is not a number, so that no comparison with it holds.
 */
interface Moment {
  seconds: bigint;
  nanos: number;
}

export const msOf = (time: Moment | undefined): number =>
  time === undefined ? Number.NaN : Number(time.seconds) * 1_000 + time.nanos / 1_000_000;
