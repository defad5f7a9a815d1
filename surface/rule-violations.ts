/**
 * From protovalidate's violations to ours.
 * Promise: the pointer is spelled in wire names, so that it points into what the caller sent.
 */
import type { Violation as RuleViolation } from '@bufbuild/protovalidate';
import { pointerTo, type Violation } from './refusal.ts';

export const violationsOf = (violations: readonly RuleViolation[]): Violation[] =>
  violations.map(({ field, message, ruleId }) => ({ pointer: pointerOf(field), detail: message, rule: ruleId }));

function pointerOf(path: RuleViolation['field']): string {
  let pointer = '';
  for (const step of path) {
    if (step.kind === 'list_sub') pointer = pointerTo(pointer, step.index);
    else if (step.kind === 'map_sub') pointer = pointerTo(pointer, String(step.key));
    else if (step.kind === 'oneof') pointer = pointerTo(pointer, step.name);
    else if (step.kind === 'field') pointer = pointerTo(pointer, step.name);
  }
  return pointer;
}

/** Names that nobody knows hide nothing; what could not be read does, and so its absence is no second mistake. */
const HIDES_NOTHING: ReadonlySet<string> = new Set(['json.unknown', 'http.query']);

/** Whether a rule's violation is a mistake of its own, and not what comes of those that were told of reading. */
export function isNotBecauseOf(told: readonly Violation[]): (violation: Violation) => boolean {
  const unread = told.filter(({ rule }) => !HIDES_NOTHING.has(rule)).map(({ pointer }) => pointer);
  const isWithin = (inner: string, outer: string): boolean => inner === outer || inner.startsWith(`${outer}/`);
  return ({ pointer }) => !unread.some((other) => isWithin(pointer, other) || isWithin(other, pointer));
}
