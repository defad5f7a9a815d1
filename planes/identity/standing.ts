/**
 * How the platform stands to a principal: its tier of trust, and whether it is suspended.
 * Promise: only the platform changes it; every change is a receipt that the principal itself can read.
 */
import {
  type Command,
  DEFAULT_TIER,
  type Decider,
  type Decision,
  type DomainEvent,
  flagIn,
  isTierName,
  type JsonObject,
  type Rejection,
  type Seen,
  type Standing,
  textIn,
} from '@tallystick/kernel';

const PREFIX = 'standing:';

const NO_STANDING: Standing = {
  principal: '',
  tier: DEFAULT_TIER,
  suspended: false,
  reason: '',
  version: 0,
  changed_at_us: '0',
};

type Rule = (state: Standing, body: JsonObject) => { type: string; body: JsonObject } | Rejection;

const RULES: Record<string, Rule> = { SetTier: setTier, Suspend: suspend, Reinstate: reinstate };

const NOTHING_TO_CHANGE: Rejection = { rejection: 'NOTHING_TO_CHANGE' };

export const standing: Decider<Standing> = {
  kind: 'standing',
  initial: NO_STANDING,
  reads: () => ({}),
  decide,
  evolve,
  owner: (state) => state.principal || null,
};

function decide(state: Standing, command: Command, seen: Seen): Decision {
  const rule = RULES[command.type];
  if (!rule) throw new TypeError(`a standing knows no command ${command.type}`);
  if (command.principal !== 'platform') return { rejection: 'NOT_FOUND' };
  const change = rule(state, command.body);
  if ('rejection' in change) return change;
  const said = {
    principal: command.stream.slice(PREFIX.length),
    by: textIn(command.body, 'by'),
    because: textIn(command.body, 'reason'),
    at_us: String(seen.atUs),
  };
  const event: DomainEvent = { type: change.type, body: { ...change.body, ...said } };
  return { events: [event], answer: { standing: evolve(state, event) } };
}

/** @errors throws TypeError for a tier that does not exist: the caller should have refused it */
function setTier(state: Standing, body: JsonObject) {
  const tier = textIn(body, 'tier');
  if (!isTierName(tier)) throw new TypeError(`there is no tier ${tier}`);
  return tier === state.tier ? NOTHING_TO_CHANGE : { type: 'TierSet', body: { tier } };
}

function suspend(state: Standing) {
  return state.suspended ? NOTHING_TO_CHANGE : { type: 'PrincipalSuspended', body: { suspended: true } };
}

function reinstate(state: Standing) {
  return state.suspended ? { type: 'PrincipalReinstated', body: { suspended: false } } : NOTHING_TO_CHANGE;
}

function evolve(state: Standing, { type, body }: DomainEvent): Standing {
  const changed = {
    ...state,
    principal: textIn(body, 'principal'),
    version: state.version + 1,
    changed_at_us: textIn(body, 'at_us'),
  };
  if (type === 'TierSet') return { ...changed, tier: textIn(body, 'tier') as Standing['tier'] };
  if (type !== 'PrincipalSuspended' && type !== 'PrincipalReinstated')
    throw new TypeError(`a standing knows no event ${type}`);
  const suspended = flagIn(body, 'suspended');
  return { ...changed, suspended, reason: suspended ? textIn(body, 'because') : '' };
}
