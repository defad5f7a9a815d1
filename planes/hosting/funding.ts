/**
 * Who waits for a principal's money: sandboxes whose next step could not be paid.
 * Promise: money that arrives is told to all of them at once, so that a machine which stands still goes on in milliseconds.
 */
import {
  type Command,
  type Decider,
  type Decision,
  dayOf,
  type JsonObject,
  type Seen,
  textIn,
} from '@tallystick/kernel';

/** What selling a step to it looks at. */
export type WaitingSandbox = { sandbox: string; job: string; provider: string };

export type FundingState = {
  /** Empty while nobody ever waited. */
  principal: string;
  waiting: WaitingSandbox[];
};

const PREFIX = 'funding:';
/** Further ones find the money by asking now and then, as all of them do besides. */
export const WAITING_MAX = 256;

export const fundingStream = (principal: string): string => `${PREFIX}${principal}`;

export const funding: Decider<FundingState> = {
  kind: 'funding',
  initial: { principal: '', waiting: [] },
  reads: () => ({}),
  decide(state, command, seen) {
    if (command.principal !== 'reaction') return { rejection: 'NOT_FOUND' };
    if (command.type === 'AwaitFunds') return awaitFunds(state, command);
    if (command.type === 'TellFunds') return tellFunds(state, seen);
    throw new TypeError(`funding knows no command ${command.type}`);
  },
  evolve(state, { type, body }) {
    if (type === 'FundsTold') return { ...state, waiting: [] };
    if (type !== 'FundsAwaited') throw new TypeError(`funding knows no event ${type}`);
    const one = { sandbox: textIn(body, 'sandbox'), job: textIn(body, 'job'), provider: textIn(body, 'provider') };
    return { principal: textIn(body, 'principal'), waiting: [...state.waiting, one] };
  },
  owner: (state) => state.principal || null,
};

function awaitFunds(state: FundingState, { stream, body }: Command): Decision {
  const sandbox = textIn(body, 'sandbox');
  const isKnown = state.waiting.some((one) => one.sandbox === sandbox);
  if (isKnown || state.waiting.length >= WAITING_MAX) return { rejection: 'NOTHING_TO_CHANGE' };
  const [principal, job, provider] = [stream.slice(PREFIX.length), textIn(body, 'job'), textIn(body, 'provider')];
  return { events: [{ type: 'FundsAwaited', body: { principal, sandbox, job, provider } }] };
}

/** One that is still short says so again. */
function tellFunds({ waiting }: FundingState, seen: Seen): Decision {
  if (waiting.length === 0) return { rejection: 'NOTHING_TO_CHANGE' };
  const body: JsonObject = { waiting, day: dayOf(seen.atUs) };
  return { events: [{ type: 'FundsTold', body }] };
}
