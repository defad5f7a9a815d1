/**
 * What went wrong in a tool, as the problem JSON that the platform's REST answers use.
 * Promise: every fault becomes a problem with code, sentence and suggestion; only a bug of ours goes to the log.
 */
import { ERROR_CATALOGUE, type ErrorCodeName, wireCode } from '@tallystick/proto';
import { ApiError, type JsonObject, UnreachableError } from '@tallystick/sdk';
import { type Failure, failureOf } from '../output/failure.ts';

const typeOf = (code: string): string => `urn:tallystick:problem:${code}`;

/** What a refusal says besides its code. */
export interface RefusalWords {
  /** Absent: the catalogue's sentence. */
  detail?: string;
  /** Absent: the catalogue's. */
  suggestion?: string;
  /** Members of the problem, as the catalogue names them for the code. */
  facts?: JsonObject;
}

/** A refusal by this terminal, worded as the platform words its own. */
export function refusal(name: ErrorCodeName, words: RefusalWords = {}): ApiError {
  const { httpStatus: status, sentence: title, suggestion: usual } = ERROR_CATALOGUE[name];
  const { detail = title, suggestion = usual, facts = {} } = words;
  const code = wireCode(name);
  return new ApiError(status, { type: typeOf(code), title, status, code, detail, suggestion, trace_id: '', ...facts });
}

/** One thing that is wrong with what a tool was given. */
export interface Violation {
  /** RFC 6901; empty: the input as a whole. */
  pointer: string;
  detail: string;
  rule: string;
}

export const invalid = (errors: readonly Violation[]): ApiError =>
  refusal('INVALID_REQUEST', { facts: { errors: errors.map((violation) => ({ ...violation })) } });

/** Anything thrown as a problem; `log` sees what no caller can mend. */
export function problemOf(fault: unknown, log: (fault: unknown) => void): JsonObject {
  if (fault instanceof ApiError) return fault.problem;
  if (fault instanceof UnreachableError) return refusal('OUTCOME_UNKNOWN', { detail: fault.message }).problem;
  const told = localFailureOf(fault);
  if (told) return problemOfFailure(told);
  log(fault);
  const suggestion = 'Repeat once with the same idempotency_key; the cause stands on the standard error of tally mcp.';
  return refusal('INTERNAL', { suggestion }).problem;
}

function localFailureOf(fault: unknown): Failure | undefined {
  try {
    return failureOf(fault);
  } catch {
    return undefined;
  }
}

const problemOfFailure = ({ code, sentence, facts, suggestion }: Failure): JsonObject => ({
  type: typeOf(code),
  title: sentence,
  code,
  detail: sentence,
  suggestion,
  ...facts,
});
