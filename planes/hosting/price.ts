/**
 * What a machine costs.
 * Promise: integers only; every rounding goes up and is done once.
 */
import { mulDivCeil } from '@tallystick/kernel';
import { DEFAULT_POLICY, type Prices } from './policy.ts';

const MILLIS_PER_CORE = 1_000n;
const MIB_PER_GIB = 1_024n;
const MS_PER_MINUTE = 60_000n;

/** Micros for 60 seconds of so many thousandths of a core, MiB of memory and MiB of disk. */
export function pricePerMinute(
  shape: { cpu_millis: number; ram_mib: number; disk_mib: number },
  prices: Prices = DEFAULT_POLICY.prices,
): bigint {
  const cores = BigInt(shape.cpu_millis) * BigInt(prices.core_minute_micros) * MIB_PER_GIB;
  const ram = BigInt(shape.ram_mib) * BigInt(prices.gib_ram_minute_micros) * MILLIS_PER_CORE;
  const disk = BigInt(shape.disk_mib) * BigInt(prices.gib_disk_minute_micros) * MILLIS_PER_CORE;
  return mulDivCeil(cores + ram + disk, 1n, MILLIS_PER_CORE * MIB_PER_GIB);
}

/** Micros for one sold step of `quantumMs` milliseconds; at least 1. */
export function pricePerQuantum(perMinuteMicros: bigint, quantumMs: number): bigint {
  const priceMicros = mulDivCeil(perMinuteMicros, BigInt(quantumMs), MS_PER_MINUTE);
  return priceMicros > 0n ? priceMicros : 1n;
}
