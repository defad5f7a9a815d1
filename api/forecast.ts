/**
 * What a principal's money is used for now, and what more of it is on its way.
 * Promise: one bounded question each, which costs what it finds; nothing is kept between two reads.
 */
import { type Engine, streamsOfOwner } from '@tallystick/engine';
import { BURNING, burnMicrosPerHour, fundedUntilUs, type SandboxState } from '@tallystick/hosting';
import type { DepositState } from '@tallystick/treasury';
import { optionalTime } from './view-parts.ts';

/** Machines that are counted, the newest ones. */
const MACHINES_MAX = 256;
/** Deposits on their way that are counted, the newest ones. */
const PENDING_MAX = 256;
const US_PER_SECOND = 1_000_000n;

/** The owner's machines that take further steps. */
export async function burningMachines(engine: Engine, owner: string): Promise<SandboxState[]> {
  const rows = await streamsOfOwner(engine, { kind: 'sandbox', owner, statuses: BURNING, limit: MACHINES_MAX });
  return rows.map(({ state }) => state as unknown as SandboxState);
}

/** On a chain, not deep enough to be credited, and not credited before the chain was rewritten. */
export async function pendingMicros(engine: Engine, owner: string): Promise<bigint> {
  const rows = await streamsOfOwner(engine, { kind: 'deposit', owner, statuses: ['seen'], limit: PENDING_MAX });
  const unpaid = rows.map(({ state }) => state as unknown as DepositState).filter(({ is_paid_out }) => !is_paid_out);
  return unpaid.reduce((sum, { amount_micros }) => sum + BigInt(amount_micros), 0n);
}

/** The members of a balance that say how long it lasts, to the second. */
export function forecastMessage(machines: readonly SandboxState[], availableMicros: bigint, atUs: bigint) {
  const untilUs = fundedUntilUs(machines, availableMicros, atUs);
  return {
    burnMicrosPerHour: burnMicrosPerHour(machines),
    ...optionalTime('fundedUntil', untilUs === undefined ? null : String(untilUs - (untilUs % US_PER_SECOND))),
  };
}
