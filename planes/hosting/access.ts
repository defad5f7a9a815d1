/**
 * Who may ask a sandbox for what, and in which part of its life.
 * Promise: what belongs to another principal cannot be told from what does not exist.
 */
import { type Command, countIn, optionalIn, type Rejection } from '@tallystick/kernel';
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
