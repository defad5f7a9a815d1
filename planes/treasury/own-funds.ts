/**
 * The platform's own dollars on a chain. What the chain holds beyond everybody's, or less than the ledger says, is a difference that
 * nobody has explained; a person explains it, by putting it to an account of the platform's own or by taking it from there.
 * Promise: no more is explained than the last look found, and never out of anybody's money; who said so, and why, is on record.
 */
import {
  type Command,
  chainAccount,
  type Decision,
  type JsonObject,
  microsIn,
  ownFundsAccount,
  type Posting,
  type Reads,
  reorgLossAccount,
  type Seen,
  textIn,
} from '@tallystick/kernel';
import type { RailState } from './rail.ts';
import {
  type ReserveFigures,
  type ReservesSeen,
  reservesAnswer,
  uncheckedRefusal,
  unexplainedMicros,
} from './reserves.ts';

const CONTRIBUTE = 'ContributeFunds';
const COMMANDS: ReadonlySet<string> = new Set([CONTRIBUTE, 'WriteOffFunds']);
const CONTRIBUTED = 'FundsContributed';
const EVENTS: ReadonlySet<string> = new Set([CONTRIBUTED, 'FundsWrittenOff']);

/** Whether `decideOwnFunds` knows the command. */
export const isOwnFundsCommand = (type: string): boolean => COMMANDS.has(type);
/** Whether `evolveOwnFunds` knows the event. */
export const isOwnFundsEvent = (type: string): boolean => EVENTS.has(type);

export const ownFundsReads = (rail: string): Reads => ({ accounts: [ownFundsAccount(rail), reorgLossAccount(rail)] });

/** `ContributeFunds` and `WriteOffFunds` `{amount_micros, reason, by}`, of the treasury's address. */
export function decideOwnFunds(state: RailState, { type, body }: Command, seen: Seen): Decision {
  const isIn = type === CONTRIBUTE;
  const [asked, account] = [microsIn(body, 'amount_micros'), ownFundsAccount(state.rail)];
  if (asked <= 0n) return { rejection: 'AMOUNT_NOT_POSITIVE', facts: { amount_micros: String(asked) } };
  const old = uncheckedRefusal(state, seen.atUs);
  if (old) return old;
  const own = seen.availableMicros(account);
  const available = isIn ? overMicros(state) : least(missingMicros(state), freeMicros(state, own ?? 0n, seen));
  if (asked > available) {
    const facts = { asked_micros: String(asked), available_micros: String(available), own_micros: String(own ?? 0n) };
    return { rejection: 'FUNDS_NOT_UNEXPLAINED', facts };
  }
  const [by, reason] = [textIn(body, 'by'), textIn(body, 'reason')];
  const own_micros = String((own ?? 0n) + (isIn ? asked : -asked));
  const event: JsonObject = { amount_micros: String(asked), by, reason, own_micros };
  return {
    events: [{ type: isIn ? CONTRIBUTED : 'FundsWrittenOff', body: event }],
    opens: own === undefined ? [{ account, asset: 'usd', noOverdraft: true }] : [],
    postings: [posting(state.rail, isIn, asked)],
    answer: { own_funds: { account, own_micros, unexplained_micros: String(left(state, isIn ? asked : -asked)) } },
  };
}

function posting(rail: string, isIn: boolean, amountMicros: bigint): Posting {
  const [held, own] = [chainAccount(rail, 'treasury'), ownFundsAccount(rail)];
  return { asset: 'usd', amountMicros, ...(isIn ? { debit: held, credit: own } : { debit: own, credit: held }) };
}

/** Of its own, beyond what stands in for deposits that the chain took back: those are somebody's still. */
const freeMicros = ({ rail }: RailState, own: bigint, seen: Seen): bigint =>
  atLeastZero(own + (seen.availableMicros(reorgLossAccount(rail)) ?? 0n));

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const atLeastZero = (micros: bigint): bigint => (micros > 0n ? micros : 0n);

/** What the last look found at the treasury's address beyond the ledger, as far as there is more in all. */
function overMicros({ reserves }: RailState): bigint {
  if (!reserves) return 0n;
  return atLeastZero(least(unexplainedMicros(reserves.parts), unexplainedMicros([treasuryOf(reserves)])));
}

/** What it found missing there. */
function missingMicros({ reserves }: RailState): bigint {
  if (!reserves) return 0n;
  return atLeastZero(least(-unexplainedMicros(reserves.parts), -unexplainedMicros([treasuryOf(reserves)])));
}

const treasuryOf = ({ parts }: ReservesSeen): ReserveFigures => parts.find(({ part }) => part === 'treasury')!;

const left = ({ reserves }: RailState, explained: bigint): bigint =>
  (reserves ? unexplainedMicros(reserves.parts) : 0n) - explained;

/** What is explained is not explained again before the next look, which finds all of it in the ledger. */
export function evolveOwnFunds(state: RailState, { type, body }: { type: string; body: JsonObject }): RailState {
  if (!state.reserves) return state;
  const amount = microsIn(body, 'amount_micros');
  const change = type === CONTRIBUTED ? amount : -amount;
  const parts = state.reserves.parts.map((one) =>
    one.part === 'treasury' ? { ...one, ledger_micros: String(BigInt(one.ledger_micros) + change) } : one,
  );
  const missing_micros = String(reservesAnswer(parts).missingMicros);
  return { ...state, reserves: { ...state.reserves, parts, missing_micros } };
}
