/**
 * Dollars that arrived on a chain, from the first sight of them to the account that has them.
 * Promise: seen money is credited to nobody else than the chain says it is for; money that the chain took back after it was
 * credited is the platform's loss, not its owner's.
 */
import {
  type Command,
  chainAccount,
  type Decider,
  type Decision,
  depositAccount,
  type JsonObject,
  microsIn,
  optionalIn,
  type Posting,
  type Reads,
  reorgLossAccount,
  type Seen,
  SUSPENSE,
  sha256Hex,
  textIn,
} from '@tallystick/kernel';
import { type AddressState, addressStream } from './address.ts';
import { type AuthorizationState, authorizationStream } from './authorization.ts';

/** `seen`: waits for confirmations; `gone`: the chain forgot it first; `reversed`: the chain forgot it after it was credited. */
export type DepositStatus = '' | 'seen' | 'gone' | 'credited' | 'parked' | 'reversed';
export type Door = 'treasury' | 'forwarders';

export type DepositState = {
  status: DepositStatus;
  id: string;
  rail: string;
  tx: string;
  ordinal: string;
  block: string;
  block_hash: string;
  payer: string;
  payee: string;
  /** Which of our asset accounts holds it. */
  door: Door;
  amount_micros: string;
  /** Whom it is for; `suspense` when nobody is known. */
  principal: string;
  /** The quote that it pays; absent when it pays none. */
  quote_id?: string;
  /** The nonce of the authorization that moved it; absent when none did. */
  authorization?: string;
  /** The same payment was paid out as this other deposit, which the chain forgot; absent else. */
  paid_as?: string;
  /** An account has its amount, whatever the chain says by now. */
  is_paid_out: boolean;
  seen_at_us: string;
};

const PREFIX = 'deposit:';
const ID_HEX_CHARS = 32;

/** `dep_` and 32 hex digits of the place on the chain, which is the same in whatever block it is mined. */
export const depositIdOf = (rail: string, { tx, ordinal }: { tx: string; ordinal: number }): string =>
  `dep_${sha256Hex(`${rail}/${tx}/${ordinal}`).slice(0, ID_HEX_CHARS)}`;

export const depositStream = (id: string): string => `${PREFIX}${id}`;

const INITIAL: DepositState = {
  status: '',
  id: '',
  rail: '',
  tx: '',
  ordinal: '',
  block: '',
  block_hash: '',
  payer: '',
  payee: '',
  door: 'treasury',
  amount_micros: '0',
  principal: '',
  is_paid_out: false,
  seen_at_us: '0',
};

export const deposit: Decider<DepositState> = {
  kind: 'deposit',
  initial: INITIAL,
  reads,
  decide(state, command, seen) {
    if (command.principal !== 'platform' && command.principal !== 'reaction') return { rejection: 'NOT_FOUND' };
    if (command.type === 'SeeDeposit') return see(state, command, seen);
    if (state.status === '') return { rejection: 'NOT_FOUND' };
    if (command.type === 'LoseDeposit') return lose(state, command);
    if (command.type === 'MoveDeposit') return move(state, command);
    if (command.type === 'RestoreDeposit') return restore(state);
    if (command.type === 'SettleDeposit') return settle(state, command);
    if (command.type === 'AdoptDeposit') return adopt(state, command, seen);
    throw new TypeError(`a deposit knows no command ${command.type}`);
  },
  evolve,
  owner: ({ principal }) => (principal === '' || principal === SUSPENSE ? null : principal),
};

function reads({ type, body }: Command): Reads {
  if (type === 'AdoptDeposit') return { streams: [depositStream(textIn(body, 'paid_as'))] };
  if (type !== 'SeeDeposit') return {};
  const [rail, nonce] = [textIn(body, 'rail'), optionalIn(body, 'authorization', textIn)];
  const paid = nonce === null ? [] : [authorizationStream(rail, textIn(body, 'payer'), nonce)];
  return { streams: [addressStream(rail, textIn(body, 'payee')), ...paid] };
}

function evolve(state: DepositState, { type, body }: { type: string; body: JsonObject }): DepositState {
  if (type === 'DepositSeen') return { ...state, ...(body as Partial<DepositState>), status: 'seen' };
  if (type === 'DepositSettled') {
    const principal = textIn(body, 'principal');
    const isThere = state.status === 'parked' || !state.is_paid_out;
    return { ...state, status: isThere ? settledStatus(principal) : state.status, principal, is_paid_out: true };
  }
  if (type === 'DepositAdopted') {
    const [paid_as, principal] = [textIn(body, 'paid_as'), textIn(body, 'principal')];
    return { ...state, status: 'credited', paid_as, principal, is_paid_out: true };
  }
  if (type === 'DepositMoved')
    return { ...state, block: textIn(body, 'block'), block_hash: textIn(body, 'block_hash') };
  if (type === 'DepositLost') return { ...state, status: 'gone' };
  if (type === 'DepositReversed') return { ...state, status: 'reversed' };
  if (type === 'DepositRestored')
    return { ...state, status: state.paid_as === undefined ? settledStatus(state.principal) : 'credited' };
  throw new TypeError(`a deposit knows no event ${type}`);
}

const settledStatus = (principal: string): DepositStatus => (principal === SUSPENSE ? 'parked' : 'credited');

/**
 * An address of ours says for whom it is; at the treasury the authorization that moved it does, when a quote has it; else the payer's
 * own address, when it belongs to a principal.
 */
function see(state: DepositState, { stream, body }: Command, seen: Seen): Decision {
  const amountMicros = microsIn(body, 'amount_micros');
  if (amountMicros <= 0n) return { rejection: 'AMOUNT_NOT_POSITIVE', facts: { amount_micros: String(amountMicros) } };
  if (state.status === 'seen' && state.block_hash === body['block_hash']) return { rejection: 'NOTHING_TO_CHANGE' };
  if (state.status === 'credited' || state.status === 'parked') return { rejection: 'NOTHING_TO_CHANGE' };
  const [payer, payee] = [textIn(body, 'payer'), textIn(body, 'payee')];
  const assigned = seen.state(addressStream(textIn(body, 'rail'), payee)) as AddressState;
  const door: Door = assigned.principal === '' ? 'treasury' : 'forwarders';
  const asked = textIn(body, 'principal');
  const quoted = door === 'treasury' ? quotedBy(body, seen) : undefined;
  const isPayers = asked.toLowerCase().endsWith(`:${payer}`);
  const isTheirs = quoted ? asked === quoted.principal : door === 'treasury' && (isPayers || asked === SUSPENSE);
  if (!isTheirs && !(door === 'forwarders' && (asked === assigned.principal || asked === SUSPENSE)))
    return { rejection: 'NOT_FOUND' };
  const event = {
    id: stream.slice(PREFIX.length),
    rail: textIn(body, 'rail'),
    tx: textIn(body, 'tx'),
    ordinal: textIn(body, 'ordinal'),
    block: textIn(body, 'block'),
    block_hash: textIn(body, 'block_hash'),
    payer,
    payee,
    door,
    amount_micros: String(amountMicros),
    principal: state.is_paid_out ? state.principal : asked,
    ...(quoted ? { quote_id: quoted.quote } : {}),
    ...authorizationOf(body),
    seen_at_us: String(seen.atUs),
  };
  const { tx, block_hash } = event;
  return { events: [{ type: 'DepositSeen', body: event }], evidence: [{ tx, block_hash }] };
}

function authorizationOf(body: JsonObject): { authorization?: string } {
  const nonce = optionalIn(body, 'authorization', textIn);
  return nonce === null ? {} : { authorization: nonce };
}

/** Undefined when no authorization moved it, or one that no quote has. */
function quotedBy(body: JsonObject, seen: Seen): AuthorizationState | undefined {
  const nonce = optionalIn(body, 'authorization', textIn);
  if (nonce === null) return undefined;
  const found = seen.state(
    authorizationStream(textIn(body, 'rail'), textIn(body, 'payer'), nonce),
  ) as AuthorizationState;
  return found.quote === '' ? undefined : found;
}

/** What was credited stays credited: somebody's minutes were bought with it. */
function lose(state: DepositState, { body }: Command): Decision {
  const told = { block: state.block, block_hash: state.block_hash };
  if (textIn(body, 'block_hash') !== state.block_hash) return { rejection: 'NOTHING_TO_CHANGE' };
  if (state.status === 'seen')
    return { events: [{ type: state.is_paid_out ? 'DepositReversed' : 'DepositLost', body: told }] };
  if (state.status !== 'credited' && state.status !== 'parked') return { rejection: 'NOTHING_TO_CHANGE' };
  const postings = [moving(state, reorgLossAccount(state.rail), chainAccount(state.rail, state.door))];
  return { events: [{ type: 'DepositReversed', body: told }], postings, rule: 'reorg_reserve' };
}

/** Its transaction stands in another block than the one it was credited in, and deep enough there: no money moved. */
function move(state: DepositState, { body }: Command): Decision {
  const [block, block_hash] = [textIn(body, 'block'), textIn(body, 'block_hash')];
  const isThere = state.status === 'credited' || state.status === 'parked';
  if (!isThere || state.block_hash === block_hash) return { rejection: 'NOTHING_TO_CHANGE' };
  return {
    events: [{ type: 'DepositMoved', body: { block, block_hash } }],
    evidence: [{ tx: state.tx, block_hash }],
  };
}

/** It was credited, taken back by the chain, and is there again. */
function restore(state: DepositState): Decision {
  if (state.status !== 'seen' || !state.is_paid_out) return { rejection: 'NOTHING_TO_CHANGE' };
  const postings = [moving(state, chainAccount(state.rail, state.door), reorgLossAccount(state.rail))];
  const { block, block_hash } = state;
  return { events: [{ type: 'DepositRestored', body: { block, block_hash } }], postings, rule: 'reorg_reserve' };
}

/**
 * The chain forgot the transaction that brought a payment, and another one brought it anew: the token takes an authorization once, so
 * it is the same money, which somebody has already.
 */
function adopt(state: DepositState, { body }: Command, seen: Seen): Decision {
  const paid_as = textIn(body, 'paid_as');
  const first = seen.state(depositStream(paid_as)) as DepositState;
  const isSame =
    first.id !== state.id &&
    first.rail === state.rail &&
    first.payer === state.payer &&
    first.amount_micros === state.amount_micros &&
    first.authorization !== undefined &&
    first.authorization === state.authorization;
  if (!isSame || !first.is_paid_out || first.paid_as !== undefined) return { rejection: 'NOT_FOUND' };
  if (state.status !== 'seen' || state.is_paid_out || first.status !== 'reversed')
    return { rejection: 'NOTHING_TO_CHANGE' };
  return {
    events: [{ type: 'DepositAdopted', body: { paid_as, principal: first.principal } }],
    opens: [{ account: depositAccount(state.id), asset: 'usd', noOverdraft: true }],
    postings: [moving(state, chainAccount(state.rail, state.door), reorgLossAccount(state.rail))],
    rule: 'reorg_reserve',
  };
}

const moving = (state: DepositState, debit: string, credit: string): Posting => ({
  asset: 'usd',
  debit,
  credit,
  amountMicros: BigInt(state.amount_micros),
});

/** Told by the account that has it now. */
function settle(state: DepositState, { body }: Command): Decision {
  const principal = textIn(body, 'principal');
  const isNew =
    (state.status === 'seen' && !state.is_paid_out) || (state.status === 'parked' && principal !== SUSPENSE);
  if (!isNew) return { rejection: 'NOTHING_TO_CHANGE' };
  return { events: [{ type: 'DepositSettled', body: { principal } }] };
}
