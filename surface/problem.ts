/**
 * From anything thrown to an RFC 9457 problem.
 * Promise: a refusal is told in full, everything else is told as INTERNAL with nothing but a trace id.
 */

import type { Json, JsonObject } from '@tallystick/kernel';
import { ERROR_CATALOGUE, wireCode } from '@tallystick/proto';
import { ApiRefusal, refuse } from './refusal.ts';

export const PROBLEM_MEDIA_TYPE = 'application/problem+json';
/** What UNAVAILABLE says when the refusal does not know better. */
const RETRY_AFTER_MS_DEFAULT = 1000;

export interface ProblemAnswer {
  status: number;
  headers: Record<string, string>;
  body: JsonObject;
}

/** Where unexpected exceptions go. */
export type LogFault = (fault: unknown, traceId: string) => void;

/** How long to wait; undefined when repeating does not help. */
function retryAfterMs(refusal: ApiRefusal): number | undefined {
  const told = refusal.facts['retry_after_ms'];
  if (typeof told === 'number') return told;
  const { family, facts } = ERROR_CATALOGUE[refusal.code];
  return family === 'UNAVAILABLE' || facts.includes('retry_after_ms') ? RETRY_AFTER_MS_DEFAULT : undefined;
}

function headersOf(refusal: ApiRefusal, waitMs: number | undefined): Record<string, string> {
  const { family } = ERROR_CATALOGUE[refusal.code];
  return {
    'content-type': PROBLEM_MEDIA_TYPE,
    ...(family === 'PAYMENT_REQUIRED' ? { 'cache-control': 'no-store' } : {}),
    ...(family === 'UNAUTHENTICATED' ? { 'www-authenticate': 'Bearer' } : {}),
    ...(waitMs === undefined ? {} : { 'retry-after': String(Math.ceil(waitMs / 1000)) }),
    ...refusal.headers,
  };
}

/** Members that mean something else in RFC 9457 than a fact of that name would. */
const RESERVED: ReadonlySet<string> = new Set(['type', 'title', 'status', 'code', 'detail', 'instance', 'errors']);

/** Facts beside the members of RFC 9457; a fact named like one is spelled `current_<name>`. */
const factMembers = (facts: Readonly<JsonObject>): JsonObject =>
  Object.fromEntries(
    Object.entries(facts).map(([name, value]) => [RESERVED.has(name) ? `current_${name}` : name, value]),
  );

/** Turns a refusal into status, headers and body. */
export function problemOf(refusal: ApiRefusal, traceId: string): ProblemAnswer {
  const { httpStatus, sentence, suggestion } = ERROR_CATALOGUE[refusal.code];
  const waitMs = retryAfterMs(refusal);
  const code = wireCode(refusal.code);
  const errors = refusal.errors.map(({ pointer, detail, rule }): Json => ({ pointer, detail, rule }));
  const body: JsonObject = {
    ...factMembers(refusal.facts),
    type: `urn:tallystick:problem:${code}`,
    title: sentence,
    status: httpStatus,
    code,
    detail: refusal.message,
    suggestion,
    ...(waitMs === undefined ? {} : { retry_after_ms: waitMs }),
    trace_id: traceId,
    ...(errors.length === 0 ? {} : { errors }),
  };
  return { status: httpStatus, headers: headersOf(refusal, waitMs), body };
}

/** Turns anything thrown into an answer; what is not a refusal goes to `log` and to nobody else. */
export function problemOfThrown(thrown: unknown, traceId: string, log: LogFault): ProblemAnswer {
  if (thrown instanceof ApiRefusal) return problemOf(thrown, traceId);
  log(thrown, traceId);
  return problemOf(refuse('INTERNAL', {}, ERROR_CATALOGUE.INTERNAL.sentence), traceId);
}
