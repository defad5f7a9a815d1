/**
 * What a principal's machines cost, and how long its money lasts.
 * Promise: integers only; the end does not move while nothing changes, however many minutes are sold meanwhile.
 */
import { mulDivCeil } from '@tallystick/kernel';
import { largerOf, quantumUs, smallerOf } from './lease.ts';
import type { SandboxState, SandboxStatus } from './sandbox-state.ts';

const MS_PER_HOUR = 3_600_000n;
const US_PER_HOUR = 3_600_000_000n;
/** Nobody is told of a later end than in a hundred years. */
const LASTS_US_MAX = 100n * 365n * 24n * US_PER_HOUR;

/** In these a machine takes a further step as soon as it may. */
export const BURNING: readonly SandboxStatus[] = ['starting', 'running', 'frozen'];

/** Micros for an hour at the price of a step. */
const pricePerHour = (stepMicros: bigint, quantumMs: number): bigint =>
  mulDivCeil(stepMicros, MS_PER_HOUR, BigInt(quantumMs));

const burnOf = (machine: SandboxState): bigint =>
  pricePerHour(BigInt(machine.price_micros_per_quantum), machine.quantum_ms);

/** Micros that an hour of all these machines costs. */
export const burnMicrosPerHour = (machines: readonly SandboxState[]): bigint =>
  machines.reduce((sum, machine) => sum + burnOf(machine), 0n);

/** Until when what they are paid for and the money together last; undefined when nothing costs anything. */
export function fundedUntilUs(
  machines: readonly SandboxState[],
  availableMicros: bigint,
  atUs: bigint,
): bigint | undefined {
  const burn = burnMicrosPerHour(machines);
  if (burn === 0n) return undefined;
  const paid = machines.reduce((sum, machine) => sum + burnOf(machine) * paidUs(machine, atUs), 0n);
  return atUs + smallerOf((paid + largerOf(0n, availableMicros) * US_PER_HOUR) / burn, LASTS_US_MAX);
}

/** One that starts is paid from when it is ready; its allowance to get there is not. */
function paidUs(machine: SandboxState, atUs: bigint): bigint {
  const leftUs = largerOf(0n, BigInt(machine.paid_until_us) - atUs);
  return machine.status === 'starting' ? smallerOf(leftUs, quantumUs(machine)) : leftUs;
}
