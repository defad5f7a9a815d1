/**
 * What went wrong in a tool, as the problem JSON that the platform's REST answers use.
 * Promise: every fault becomes a problem with code, sentence and suggestion; only a bug of ours goes to the log.
 */
import { ApiError, type JsonObject, refuseHere, UnreachableError } from '@tallystick/sdk';
import { type Failure, failureOf } from '../output/failure.ts';

/** One thing that is wrong with what a tool was given. */
export interface Violation {
  /** RFC 6901; empty: the input as a whole. */
  pointer: string;
  detail: string;
  rule: string;
}

export const invalid = (errors: readonly Violation[]): ApiError =>
  refuseHere('INVALID_REQUEST', { facts: { errors: errors.map((violation) => ({ ...violation })) } });

/** Anything thrown as a problem; `log` sees what no caller can mend. */
export function problemOf(fault: unknown, log: (fault: unknown) => void): JsonObject {
  if (fault instanceof ApiError) return fault.problem;
  if (fault instanceof UnreachableError) return refuseHere('OUTCOME_UNKNOWN', { detail: fault.message }).problem;
  const told = localFailureOf(fault);
  if (told) return problemOfFailure(told);
  log(fault);
  const suggestion = 'Repeat once with the same idempotency_key; the cause stands on the standard error of tally mcp.';
  return refuseHere('INTERNAL', { suggestion }).problem;
}

function localFailureOf(fault: unknown): Failure | undefined {
  try {
    return failureOf(fault);
  } catch {
    return undefined;
  }
}

const problemOfFailure = ({ code, sentence, facts, suggestion }: Failure): JsonObject => ({
  type: `urn:tallystick:problem:${code}`,
  title: sentence,
  code,
  detail: sentence,
  suggestion,
  ...facts,
});
