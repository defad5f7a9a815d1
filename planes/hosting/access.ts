/**
 * Who may ask a sandbox for what, and in which part of its life.
 * Promise: what belongs to another principal cannot be told from what does not exist.
 */
import { type Command, countIn, optionalIn, type Rejection, timeTextOf } from '@tallystick/kernel';
import { graceEndsUs } from './lease.ts';
import type { SandboxState, SandboxStatus } from './sandbox-state.ts';

export const NOT_FOUND: Rejection = { rejection: 'NOT_FOUND' };

/** Undefined when the sandbox has one of the statuses. */
export function notRunning(state: SandboxState, ...allowed: SandboxStatus[]): Rejection | undefined {
  const { status, stop_reason } = state;
  if (status === '') return NOT_FOUND;
  if (allowed.includes(status)) return undefined;
  return status === 'ended'
    ? { rejection: 'SANDBOX_ENDED', facts: { stop_reason } }
    : { rejection: 'SANDBOX_NOT_RUNNING', facts: { status, stop_reason } };
}

/** Undefined when it does not need money to go on. @param atUs the machine stands still by itself at the end of what is paid */
export function unfunded(state: SandboxState, atUs: bigint): Rejection | undefined {
  const { status, is_unfunded, paid_until_us, price_micros_per_quantum } = state;
  if (!is_unfunded) return undefined;
  const standsStill = status === 'frozen' || (status === 'running' && atUs >= BigInt(paid_until_us));
  if (!standsStill) return undefined;
  const facts = {
    sandbox: state.id,
    ends_at: timeTextOf(graceEndsUs(state)),
    required_micros: price_micros_per_quantum,
  };
  return { rejection: 'SANDBOX_UNFUNDED', facts };
}

/** What it needs to go on, or to run on: money, a lease that is paid or about to be, or nothing. */
export function waitingFor({ status, is_unfunded }: SandboxState): 'funds' | 'lease' | undefined {
  if (is_unfunded && (status === 'running' || status === 'frozen')) return 'funds';
  return status === 'frozen' ? 'lease' : undefined;
}

/** Undefined when its owner asks, for this life of it. */
export const notOwner = (state: SandboxState, command: Command): Rejection | undefined =>
  state.owner !== '' && command.principal === state.owner && isThisLife(state, command) ? undefined : NOT_FOUND;

/** Undefined when its provider reports, for this life of it. */
export const notProvider = (state: SandboxState, command: Command): Rejection | undefined =>
  state.provider !== '' && command.principal === `provider:${state.provider}` && isThisLife(state, command)
    ? undefined
    : NOT_FOUND;

function isThisLife(state: SandboxState, command: Command): boolean {
  const incarnation = optionalIn(command.body, 'incarnation', countIn);
  return incarnation === null || incarnation === state.incarnation;
}
