/**
 * What the warden is asked about ways out: the policy that holds, another one, and what was decided.
 * Promise: a policy is checked whole before any of it takes effect.
 */
import type { JsonObject } from '@tallystick/kernel';
import { EGRESS_MODES, EGRESS_RULE_CHARS_MAX, EGRESS_RULES_MAX } from '@tallystick/kernel/egress';
import type { EgressPolicy } from './egress.ts';
import { Fault } from './fault.ts';
import type { Held } from './held.ts';
import * as read from './request.ts';
import { WAIT_MS_MAX } from './waiters.ts';

const isMode: read.Check = (value) =>
  (EGRESS_MODES as readonly unknown[]).includes(value) ? undefined : `must be one of ${EGRESS_MODES.join(' ')}`;
const isRules: read.Check = (value) =>
  Array.isArray(value) &&
  value.length <= EGRESS_RULES_MAX &&
  value.every((rule) => typeof rule === 'string' && rule.length <= EGRESS_RULE_CHARS_MAX)
    ? undefined
    : `must be at most ${EGRESS_RULES_MAX} texts of at most ${EGRESS_RULE_CHARS_MAX} characters`;
const MEMBERS: Record<string, read.Check> = {
  serial: read.isCount(1, Number.MAX_SAFE_INTEGER),
  mode: isMode,
  allow: isRules,
};

/** A policy as a member of a request to create. */
export const isEgress: read.Check = (value) => {
  const notObject = read.isObject(value);
  if (notObject) return notObject;
  const body = value as JsonObject;
  const wrong = Object.entries(MEMBERS).find(([name, check]) => check(body[name]) !== undefined);
  if (wrong) return `/${wrong[0]} ${wrong[1](body[wrong[0]])}`;
  return Object.keys(body).every((name) => Object.hasOwn(MEMBERS, name))
    ? undefined
    : 'has nothing but serial, mode and allow';
};

/** @errors rejects with Fault `invalid`, `egress_not_offered`, `other_incarnation` or `sandbox_ended` */
export async function replaceEgress(held: Held, body: JsonObject): Promise<object> {
  read.checkMembers(body, { incarnation: read.isCount(1, Number.MAX_SAFE_INTEGER), ...MEMBERS });
  const { incarnation, ...policy } = body;
  if (held.incarnation !== incarnation) {
    const facts = { here: held.incarnation, asked: incarnation as number };
    throw new Fault('conflict', 'other_incarnation', 'this is another incarnation', facts);
  }
  if (held.ended || held.isEnding) {
    throw new Fault('gone', 'sandbox_ended', 'the sandbox has ended', { ...held.ended });
  }
  await held.egress.apply(policy as unknown as EgressPolicy);
  return held.egress.view();
}

export async function egressDecisions(held: Held, query: URLSearchParams): Promise<object> {
  const after = read.countOf(query, 'after', 0, Number.MAX_SAFE_INTEGER);
  const waitMs = held.ended ? 0 : read.countOf(query, 'wait_ms', 0, WAIT_MS_MAX);
  return { ...held.egress.view(), ...(await held.egress.decisions.read(after, waitMs)) };
}
