/**
 * From what a provider could not do to the problem that callers see.
 * Promise: `repeat me` and `it is gone` stay apart; the provider's own code and facts come along.
 */
import { ProviderFault } from '@tallystick/engine/adapters/provider';
import type { ErrorCodeName } from '@tallystick/proto';
import { refuse } from '@tallystick/surface';

const RETRY_AFTER_MS = 1_000;

/** Runs a provider call; `refusal` is the code for what the machine itself refuses. */
export async function askProvider<T>(
  refusal: ErrorCodeName,
  facts: { path?: string },
  ask: () => Promise<T>,
): Promise<T> {
  try {
    return await ask();
  } catch (fault) {
    if (!(fault instanceof ProviderFault)) throw fault;
    throw refusalOf(fault, refusal, facts);
  }
}

/** Whatever was asked of the machine, a repetition with the same key may succeed. */
export const isUnreachable = (fault: unknown): boolean =>
  fault instanceof ProviderFault && fault.kind === 'unreachable';

export const providerUnreachable = (): Error =>
  refuse('PROVIDER_UNREACHABLE', { provider: 'local', retry_after_ms: RETRY_AFTER_MS });

function refusalOf(fault: ProviderFault, refusal: ErrorCodeName, facts: { path?: string }): Error {
  if (isUnreachable(fault)) return providerUnreachable();
  return refuse(refusal, { ...facts, cause: fault.code, ...fault.facts }, `${fault.message} (${fault.code})`);
}
