/**
 * Whether the chain holds what the ledger says that we hold there.
 * Promise: money that is missing at two looks running stops what would take more of it, until it is there again; so does a last look
 * that is too old.
 */
import {
  type Command,
  chainAccount,
  type Decision,
  type DomainEvent,
  type JsonObject,
  microsIn,
  type Posting,
  type Rejection,
  type Seen,
  textIn,
  timeTextOf,
} from '@tallystick/kernel';
import type { RailState } from './rail.ts';

export const RESERVE_PARTS = ['treasury', 'forwarders'] as const;
export type ReservePart = (typeof RESERVE_PARTS)[number];

/** One place where we hold money, as of one block. Amounts in micros. */
export type ReserveFigures = {
  part: ReservePart;
  /** What the asset account says. */
  ledger_micros: string;
  /** On the chain, and not in the ledger yet: what waits for confirmations. */
  pending_micros: string;
  /** Gone on the chain, and still in the ledger: what waits for confirmations on its way out. */
  leaving_micros: string;
  chain_micros: string;
};

/** The last look that was recorded. */
export type ReservesSeen = {
  block: string;
  block_hash: string;
  parts: ReserveFigures[];
  is_equal: boolean;
  /** By how much all parts together hold less than they should. */
  missing_micros: string;
  /** Looks running at which some was missing. */
  looks_short: number;
  checked_at_us: string;
  /** Since when the answer is this one. */
  since_us: string;
};

/** So many looks running must find money missing: one may have met an endpoint in a bad moment. */
export const LOOKS_SHORT_MAX = 2;

/** Nothing is signed when the last recorded look is older: the meter records one an hour, however little it says. */
export const RESERVES_AGE_US_MAX = 7_200_000_000n;

/** Under which name it is noted when the last look came to an answer, recorded or not. */
export const reservesMoment = (rail: string): string => `reserves:${rail}`;

/** What a look at the ledger is compared with. */
export const reservesReads = (rail: string): { accounts: string[] } => ({
  accounts: RESERVE_PARTS.map((part) => chainAccount(rail, part)),
});

export interface ReservesAnswer {
  isEqual: boolean;
  /** All is there, but not where the ledger says. */
  isElsewhere: boolean;
  missingMicros: bigint;
}

/** What figures say. More than the ledger knows of is told, and stops nothing: anybody can send us dollars. */
export function reservesAnswer(parts: readonly ReserveFigures[]): ReservesAnswer {
  const over = unexplainedMicros(parts);
  const isEqual = parts.every((one) => overOf(one) === 0n);
  return { isEqual, isElsewhere: !isEqual && over === 0n, missingMicros: over < 0n ? -over : 0n };
}

/** What the chain holds beyond what it should. */
const overOf = ({ chain_micros, ledger_micros, pending_micros, leaving_micros }: ReserveFigures): bigint =>
  BigInt(chain_micros) - (BigInt(ledger_micros) + BigInt(pending_micros) - BigInt(leaving_micros));

/** By how much the chain holds more there than the ledger accounts for; negative: less. */
export const unexplainedMicros = (parts: readonly ReserveFigures[]): bigint =>
  parts.reduce((sum, one) => sum + overOf(one), 0n);

/** All is there, at another of our own places than the ledger says: a sweep that the chain forgot, or mined with another amount. */
function alignment(rail: string, [treasury, forwarders]: readonly ReserveFigures[]): Posting[] {
  const over = overOf(treasury!);
  if (over === 0n || over + overOf(forwarders!) !== 0n) return [];
  const [debit, credit] = [chainAccount(rail, 'treasury'), chainAccount(rail, 'forwarders')];
  const amountMicros = over > 0n ? over : -over;
  return [{ asset: 'usd', amountMicros, ...(over > 0n ? { debit, credit } : { debit: credit, credit: debit }) }];
}

/** A look is worth recording only as long as the ledger says what it said then. */
export function recordReserves(state: RailState, { body }: Command, seen: Seen): Decision {
  const parts = partsIn(body);
  const isOfNow = parts.every(
    ({ part, ledger_micros }) =>
      String(-(seen.availableMicros(chainAccount(state.rail, part)) ?? 0n)) === ledger_micros,
  );
  if (!isOfNow) return { rejection: 'NOTHING_TO_CHANGE' };
  const { isEqual, missingMicros } = reservesAnswer(parts);
  const looks_short = missingMicros > 0n ? (state.reserves?.looks_short ?? 0) + 1 : 0;
  const isStopped = looks_short >= LOOKS_SHORT_MAX;
  const before = state.reserves;
  const isAsBefore = before?.is_equal === isEqual && (state.withdrawals_stopped ?? false) === isStopped;
  const reserves: ReservesSeen = {
    block: textIn(body, 'block'),
    block_hash: textIn(body, 'block_hash'),
    parts,
    is_equal: isEqual,
    missing_micros: String(missingMicros),
    looks_short,
    checked_at_us: String(seen.atUs),
    since_us: isAsBefore ? before.since_us : String(seen.atUs),
  };
  const event: DomainEvent = { type: 'ReservesChecked', body: { reserves, withdrawals_stopped: isStopped } };
  return {
    events: [event],
    postings: alignment(state.rail, parts),
    answer: event.body,
    evidence: [{ block: reserves.block, block_hash: reserves.block_hash }],
  };
}

/** @errors throws TypeError unless every part stands there once */
function partsIn(body: JsonObject): ReserveFigures[] {
  const given = body['parts'] as JsonObject[];
  return RESERVE_PARTS.map((part) => {
    const [figures, ...more] = given.filter((one) => one['part'] === part);
    if (figures === undefined || more.length > 0) throw new TypeError(`the reserves must name ${part} once`);
    const of = (name: string): string => String(microsIn(figures, name));
    return {
      part,
      ledger_micros: of('ledger_micros'),
      pending_micros: of('pending_micros'),
      leaving_micros: of('leaving_micros'),
      chain_micros: of('chain_micros'),
    };
  });
}

/** Undefined while nothing is missing. */
export function reservesRefusal({ withdrawals_stopped, reserves }: RailState): Rejection | undefined {
  if (withdrawals_stopped !== true || reserves === undefined) return undefined;
  const sum = (name: 'ledger_micros' | 'chain_micros'): string =>
    String(reserves.parts.reduce((total, one) => total + BigInt(one[name]), 0n));
  return {
    rejection: 'RESERVES_DISAGREE',
    facts: {
      missing_micros: reserves.missing_micros,
      ledger_micros: sum('ledger_micros'),
      chain_micros: sum('chain_micros'),
      since: timeTextOf(BigInt(reserves.since_us)),
    },
  };
}

/** Nobody has looked for long. Before the first look there is nothing to be old. */
export const areReservesUnchecked = ({ reserves }: RailState, nowUs: bigint): boolean =>
  reserves !== undefined && nowUs - BigInt(reserves.checked_at_us) > RESERVES_AGE_US_MAX;

/** What is held waits for the next look. */
export function uncheckedRefusal(rail: RailState, nowUs: bigint): Rejection | undefined {
  if (!areReservesUnchecked(rail, nowUs)) return undefined;
  return { rejection: 'RESERVES_UNCHECKED', facts: { checked_at: timeTextOf(BigInt(rail.reserves!.checked_at_us)) } };
}
