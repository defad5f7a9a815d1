/**
 * A refusal: one code of the error catalogue with its facts, thrown by handlers and by the surface itself.
 * Promise: what it says is meant for the caller; anything else that is thrown stays inside and is logged.
 */

import type { Json, JsonObject } from '@tallystick/kernel';
import { ERROR_CATALOGUE, type ErrorCodeName } from '@tallystick/proto';

/** One thing that is wrong with a request. */
export interface Violation {
  /** RFC 6901 pointer into the request, in wire names; empty: the request as a whole. */
  pointer: string;
  detail: string;
  /** Id of the rule, e.g. `string.pattern` or `json.unknown`. */
  rule: string;
}

/** More is not told: a small request must not make a huge answer. */
export const VIOLATIONS_MAX = 100;
/** Of one step of a pointer; a longer key is cut. */
const STEP_CHARS_MAX = 100;

/** Of a violation's text, which may quote what was sent. */
const DETAIL_CHARS_MAX = 300;

/** Nothing more would be told: whoever looks for more may stop. */
export const isFull = (violations: readonly Violation[]): boolean => violations.length >= VIOLATIONS_MAX;

/** Adds one more, while there is room for it. */
export function note(violations: Violation[], violation: Violation): void {
  if (!isFull(violations)) violations.push(violation);
}

const short = (violation: Violation): Violation =>
  violation.detail.length <= DETAIL_CHARS_MAX
    ? violation
    : { ...violation, detail: `${violation.detail.slice(0, DETAIL_CHARS_MAX)}…` };

/** What a refusal may carry besides its facts. */
export interface RefusalExtra {
  errors?: readonly Violation[];
  headers?: Readonly<Record<string, string>>;
  cause?: unknown;
}

/** The only error whose text reaches the caller. A class because it is thrown. */
export class ApiRefusal extends Error {
  readonly code: ErrorCodeName;
  readonly facts: Readonly<JsonObject>;
  readonly errors: readonly Violation[];
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: ErrorCodeName, facts: JsonObject, detail: string | undefined, extra: RefusalExtra) {
    super(detail ?? sentenceWithFacts(code, facts), extra.cause === undefined ? undefined : { cause: extra.cause });
    this.name = 'ApiRefusal';
    this.code = code;
    this.facts = facts;
    this.errors = extra.errors ?? [];
    this.headers = extra.headers ?? {};
  }
}

/** The catalogue's sentence, with the facts in brackets. */
function sentenceWithFacts(code: ErrorCodeName, facts: JsonObject): string {
  const { sentence } = ERROR_CATALOGUE[code];
  const words = Object.entries(facts).map(([name, value]) => `${name} ${factText(value)}`);
  return words.length === 0 ? sentence : `${sentence} (${words.join(', ')})`;
}

const factText = (value: Json): string => (typeof value === 'string' ? value : JSON.stringify(value));

/**
 * Makes a refusal to throw.
 * @param facts members of the problem body; by convention those that the catalogue names for the code
 * @param detail replaces the sentence made of catalogue and facts
 * @example throw refuse('JOB_CAP_EXCEEDED', { cap_micros: 500, required_micros: 40, available_micros: 10 });
 */
export const refuse = (
  code: ErrorCodeName,
  facts: JsonObject = {},
  detail?: string,
  extra: RefusalExtra = {},
): ApiRefusal => new ApiRefusal(code, facts, detail, extra);

/** The request does not satisfy its contract, and this is everything that is wrong with it, up to VIOLATIONS_MAX. */
export const refuseInvalid = (found: readonly Violation[]): ApiRefusal => {
  const errors = found.slice(0, VIOLATIONS_MAX).map(short);
  const more = found.length >= VIOLATIONS_MAX ? ' or more' : '';
  const count = errors.length === 1 ? '' : ` (${errors.length}${more} violations)`;
  return refuse('INVALID_REQUEST', {}, `${ERROR_CATALOGUE.INVALID_REQUEST.sentence}${count}`, { errors });
};

/** RFC 6901: one more step; of a key that is too long, its beginning. */
export const pointerTo = (pointer: string, key: string | number): string =>
  `${pointer}/${typeof key === 'number' ? key : stepOf(key)}`;

function stepOf(key: string): string {
  const step = key.length > STEP_CHARS_MAX ? `${key.slice(0, STEP_CHARS_MAX)}…` : key;
  return /[~/]/.test(step) ? step.replaceAll('~', '~0').replaceAll('/', '~1') : step;
}
