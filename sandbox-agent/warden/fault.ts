/**
 * What the warden answers when it will not or cannot: a code, a sentence, and facts that name cap, asked and available.
 * Promise: nothing of the host (paths, stacks, environment) stands in a fault.
 */

export type Facts = Record<string, string | number | boolean | null>;

const STATUS = {
  bad_request: 400,
  bad_caller_ticket: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  gone: 410,
  too_large: 413,
  refused: 422,
  busy: 429,
  fault: 500,
} as const;

export type FaultKind = keyof typeof STATUS;

export class Fault extends Error {
  readonly kind: FaultKind;
  readonly code: string;
  readonly facts: Facts;

  constructor(kind: FaultKind, code: string, detail: string, facts: Facts = {}) {
    super(detail);
    this.kind = kind;
    this.code = code;
    this.facts = facts;
  }

  get status(): number {
    return STATUS[this.kind];
  }

  /** The problem body; `code` and `detail` win over a fact of the same name. */
  toJSON(): Facts {
    return { ...this.facts, code: this.code, detail: this.message };
  }
}

export const refused = (code: string, detail: string, facts?: Facts): Fault =>
  new Fault('refused', code, detail, facts);
export const invalid = (detail: string, facts?: Facts): Fault => new Fault('bad_request', 'invalid', detail, facts);
