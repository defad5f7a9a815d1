/**
 * Small conversions from stored JSON to contract messages.
 * Promise: money stays exact; a missing time stays missing.
 */
import { type Timestamp, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Json } from '@tallystick/kernel';

const US_PER_SECOND = 1_000_000n;
const NANOS_PER_US = 1_000;

/** Microseconds since 1970, as a bigint or a decimal string. */
export function timestampFromUs(us: bigint | string): Timestamp {
  const value = BigInt(us);
  const message = timestampFromMs(0);
  message.seconds = value / US_PER_SECOND;
  message.nanos = Number(value % US_PER_SECOND) * NANOS_PER_US;
  return message;
}

/** A message field that is left out when the stored time is null. */
export const optionalTime = <K extends string>(name: K, us: Json | undefined): { [P in K]?: Timestamp } =>
  (us === null || us === undefined ? {} : { [name]: timestampFromUs(us as string) }) as { [P in K]?: Timestamp };

export const optionalInt64 = <K extends string>(name: K, value: Json | undefined): { [P in K]?: bigint } =>
  (value === null || value === undefined ? {} : { [name]: BigInt(value as number) }) as { [P in K]?: bigint };
