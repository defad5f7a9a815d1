/**
 * What callers are told while the database, the machine's warden or the chain does not answer.
 * Promise: never an internal error; whether something happened is unknown, and the same key asks again.
 */
import { Fault } from '@tallystick/engine';
import { ChainFault } from '@tallystick/engine/adapters/chain';
import { type Implementation, refuse } from '@tallystick/surface';
import { isUnreachable, providerUnreachable } from './provider-refusal.ts';

const RETRY_AFTER_MS = 500;

/** @errors throws OUTCOME_UNKNOWN for a Fault, PROVIDER_UNREACHABLE for a silent machine, CHAIN_UNREACHABLE for a chain, everything else as it is */
export async function toldAsOutage<T>(ask: () => T | Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (fault) {
    if (fault instanceof Fault) throw refuse('OUTCOME_UNKNOWN', { retry_after_ms: RETRY_AFTER_MS });
    if (fault instanceof ChainFault) throw refuse('CHAIN_UNREACHABLE', { retry_after_ms: RETRY_AFTER_MS });
    throw isUnreachable(fault) ? providerUnreachable() : fault;
  }
}

/** The same service, whose methods tell an outage as one. */
export function outageTold({ service, handlers }: Implementation): Implementation {
  const told = Object.entries(handlers).map(([name, handler]) => {
    const careful: typeof handler = (request, call) => toldAsOutage(() => handler(request, call));
    return [name, careful] as const;
  });
  return { service, handlers: Object.fromEntries(told) };
}
