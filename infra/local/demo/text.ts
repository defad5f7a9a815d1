/**
 * Amounts, times and reasons as people read them.
 * Promise: exact; nothing is rounded away.
 */
import { StopReason } from '@tallystick/proto';

const MICROS_PER_USD = 1_000_000n;
const MICROS_DIGITS = 6;

interface TimeMessage {
  seconds: bigint;
  nanos: number;
}

/** `$0.000400` */
export const usd = (micros: bigint): string =>
  `${micros < 0n ? '-' : ''}$${abs(micros) / MICROS_PER_USD}.${String(abs(micros) % MICROS_PER_USD).padStart(MICROS_DIGITS, '0')}`;

const abs = (value: bigint): bigint => (value < 0n ? -value : value);

/** Milliseconds since 1970; not a number when there is no time. */
export const msOf = (time: TimeMessage | undefined): number =>
  time === undefined ? Number.NaN : Number(time.seconds) * 1_000 + time.nanos / 1_000_000;

/** `12:34:56.789` UTC */
export function timeText(time: TimeMessage | number | undefined): string {
  const ms = typeof time === 'number' ? time : msOf(time);
  return Number.isNaN(ms) ? 'never' : new Date(ms).toISOString().slice('2000-01-01T'.length, -1);
}

/** `job_cap` */
export const reasonWord = (reason: StopReason): string =>
  Object.entries(StopReason)
    .find(([, value]) => value === reason)?.[0]
    .toLowerCase() ?? 'unspecified';
