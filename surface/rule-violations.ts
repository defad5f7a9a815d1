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
