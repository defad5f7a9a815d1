/**
 * How far a sandbox may reach out: what its owner wants, its tier allows and its provider offers.
 * Promise: every change is a receipt with all rules in it; the machine is told by the outbox, as often as it takes.
 */
import {
  type Command,
  type Decision,
  type JsonObject,
  type OutboxMessage,
  overPolicy,
  type Reads,
  type Rejection,
  type Seen,
  standingStream,
  suspended,
  textIn,
  textsIn,
} from '@tallystick/kernel';
import { readEgressRules } from '@tallystick/kernel/egress';
import { notOwner, notRunning } from './access.ts';
import type { EgressState } from './egress-state.ts';
import { type Allowance, allowanceIn } from './policy.ts';
import { evolveSandbox, type SandboxState } from './sandbox-state.ts';

const NOWHERE = 'none';
const LISTED = 'allowlist';

/** What changing it looks at. */
export const egressReads = (command: Command): Reads => ({ streams: [standingStream(command.principal)] });

interface Wish {
  mode: string;
  allow: string[];
}

const wishIn = (body: JsonObject): Wish => ({ mode: textIn(body, 'mode'), allow: textsIn(body, 'allow') });

/** What was asked for at the opening; undefined: nothing. */
function wishAtOpening(body: JsonObject): Wish | undefined {
  const asked = body['egress'];
  const wish = asked === undefined || asked === null ? undefined : wishIn(asked as JsonObject);
  return wish?.mode === NOWHERE && wish.allow.length === 0 ? undefined : wish;
}

/** The rules as they are kept, or why they cannot be. The order of checks is the order of the lines. */
function rulesOf({ mode, allow }: Wish, body: JsonObject, allowance: Allowance): string[] | Rejection {
  const { egress } = allowance.tier;
  if (!egress.includes(mode)) return overPolicy(allowance, 'egress', mode, egress.join(' '));
  const offered = textsIn(body, 'egress_offered');
  if (!offered.includes(mode)) {
    const facts = { cap: 'egress', asked: mode, available: offered.join(' '), provider: textIn(body, 'provider') };
    return { rejection: 'EGRESS_NOT_OFFERED', facts };
  }
  if (mode !== LISTED && allow.length > 0) return badRule(allow[0] as string, `${mode} has no rules`);
  const rules = readEgressRules(allow);
  return Array.isArray(rules) ? rules.map(({ text }) => text) : badRule(rules.rule, rules.error);
}

const badRule = (asked: string, cause: string): Rejection => ({
  rejection: 'EGRESS_RULE_INVALID',
  facts: { asked, cause },
});

/** Why it may not be opened with the ways out that were asked for. */
export function notLetOut(body: JsonObject, allowance: Allowance): Rejection | undefined {
  const wish = wishAtOpening(body);
  const rules = wish ? rulesOf(wish, body, allowance) : [];
  return Array.isArray(rules) ? undefined : rules;
}

/** The member of the opened sandbox; none when it reaches out nowhere. */
export function egressMember(body: JsonObject, allowance: Allowance): { egress?: EgressState } {
  const wish = wishAtOpening(body);
  const rules = wish ? rulesOf(wish, body, allowance) : [];
  return wish && Array.isArray(rules) ? { egress: { serial: 1, mode: wish.mode, allow: rules } } : {};
}

/** Replaces all of it. One that has only its last paid minute left can still be shut in. */
export function setEgress(state: SandboxState, command: Command, seen: Seen): Decision {
  const allowance = allowanceIn(seen, command.principal);
  const refused =
    notOwner(state, command) ?? notRunning(state, 'running', 'frozen', 'stopping') ?? notAllowed(command, allowance);
  if (refused) return refused;
  const wish = wishIn(command.body);
  const rules = rulesOf(wish, { ...command.body, provider: state.provider }, allowance);
  if (!Array.isArray(rules)) return rules;
  const egress = { serial: (state.egress?.serial ?? 0) + 1, mode: wish.mode, allow: rules };
  const event = { type: 'EgressChanged', body: { ...egress, at_us: String(seen.atUs) } };
  return {
    events: [event],
    outbox: [egressMessage(state, egress)],
    answer: { sandbox: evolveSandbox(state, event) },
  };
}

/** Shutting in is nobody refused. */
const notAllowed = ({ body }: Command, allowance: Allowance): Rejection | undefined =>
  textIn(body, 'mode') === NOWHERE ? undefined : suspended(allowance);

const egressMessage = ({ id, incarnation, provider }: SandboxState, egress: EgressState): OutboxMessage => ({
  topic: 'set-egress',
  body: { sandbox: id, incarnation, provider, egress },
});
