/**
 * What a quote is: its names, its offer, the payment that answers it, and how events change it.
 * Promise: nothing is decided here; the rules stand in `quote.ts`.
 */
import { type DomainEvent, type JsonObject, keccak256, optionalIn, sha256Hex, textIn } from '@tallystick/kernel';
import { type Broadcast, evolveBroadcast, isBroadcastEvent, NO_BROADCAST } from './broadcast.ts';
import { type Payment, paymentIn } from './payment.ts';

/**
 * `open`: offered; `bound`: a payment is accepted and will be carried to the chain; `signed`: its transaction may be mined at any
 * time, or is final and its money is not in the account yet; `paid`: the money is in the account; `lapsed`: the payment can never be used any more.
 */
export type QuoteStatus = '' | 'open' | 'bound' | 'signed' | 'paid' | 'lapsed';

export type QuoteOption = { amount_micros: string; label: string };

export type QuoteState = {
  status: QuoteStatus;
  id: string;
  principal: string;
  /** Idempotency-Key of the request that lacked the money, and the hash of that request. */
  key: string;
  fingerprint: string;
  /** Counts offers under this key, from 0. */
  round: number;
  /** The nonce that a payer should sign with, so that the token itself takes one payment of a payer for a round. */
  auth_nonce: string;
  /** Smallest first. */
  options: QuoteOption[];
  rail: string;
  /** As in CAIP-2. */
  network: string;
  token: string;
  pay_to: string;
  expires_at_us: string;
  /** What was chosen, or what arrived. */
  amount_micros: string;
  payment: Payment | null;
  /** Of which the last was undone by the token, when they are all that there are. */
  tries: number;
  /** What of its payer's money it counts on while it is under way; absent before anything was bound. */
  promised_micros?: string;
  /** The deposit that credited it; empty before. */
  deposit_id: string;
  broadcast: Broadcast;
  /** The last final one of an earlier round: the chain may forget it. Absent before there was one. */
  carried?: Broadcast;
};

/** A payment is carried to the chain so often; one that the token undid is not carried again. */
export const SETTLE_TRIES_MAX = 3;

const PREFIX = 'quote:';
const ID_HEX_CHARS = 32;

export const quoteStream = (id: string): string => `${PREFIX}${id}`;

/** `quo_` and 32 hex digits of whose request it is for. */
export const quoteIdOf = (principal: string, key: string): string =>
  `quo_${sha256Hex(`${principal}\n${key}`).slice(0, ID_HEX_CHARS)}`;

/** 0x and 64 hex digits, another one for every round and chain. */
export const authNonceOf = (id: string, round: number, rail: string): string =>
  `0x${Buffer.from(keccak256(Buffer.from(`${id}/${round}/${rail}`))).toString('hex')}`;

export const NO_QUOTE: QuoteState = {
  status: '',
  id: '',
  principal: '',
  key: '',
  fingerprint: '',
  round: 0,
  auth_nonce: '',
  options: [],
  rail: '',
  network: '',
  token: '',
  pay_to: '',
  expires_at_us: '0',
  amount_micros: '0',
  payment: null,
  tries: 0,
  deposit_id: '',
  broadcast: NO_BROADCAST,
};

/** A quote as it stands right after an offer, from what the offer's command answered. */
export const offeredQuote = (offered: JsonObject): QuoteState => ({
  ...NO_QUOTE,
  ...(offered as Partial<QuoteState>),
  status: 'open',
});

export function evolveQuote(state: QuoteState, event: DomainEvent): QuoteState {
  const { type, body } = event;
  if (type === 'QuoteOffered') return { ...offeredQuote(body), ...carriedBefore(state) };
  if (type === 'QuoteBound') {
    const promised = optionalIn(body, 'promised_micros', textIn);
    const told = { payment: paymentIn(body), amount_micros: textIn(body, 'amount_micros') };
    return { ...state, ...told, ...(promised === null ? {} : { promised_micros: promised }), status: 'bound' };
  }
  if (type === 'QuoteLapsed') return { ...kept(state), status: 'lapsed' };
  if (type === 'QuoteSettled') {
    const credited = { deposit_id: textIn(body, 'deposit_id'), amount_micros: textIn(body, 'amount_micros') };
    return { ...kept(state), ...credited, status: isUnderWay(state) ? state.status : 'paid' };
  }
  if (isBroadcastEvent(event)) return withBroadcast(state, evolveBroadcast(state.broadcast, event));
  throw new TypeError(`a quote knows no event ${type}`);
}

function carriedBefore({ broadcast, carried }: QuoteState): Pick<QuoteState, 'carried'> {
  const last = broadcast.phase === 'final' ? broadcast : carried;
  return last ? { carried: last } : {};
}

/** Nothing of ours is on its way, and its money has not come: it is only waited for, or the chain forgot what was final. */
export const isOnlyAwaited = ({ status, broadcast }: Pick<QuoteState, 'status' | 'broadcast'>): boolean =>
  status === 'bound' || (status === 'signed' && broadcast.phase === 'final');

/** The promise of its payer is over, one way or the other. */
const kept = (state: QuoteState): QuoteState =>
  state.promised_micros === undefined ? state : { ...state, promised_micros: '0' };

/** A transaction that is signed must be followed to its end, also when the money came by another. */
const isUnderWay = ({ broadcast }: QuoteState): boolean => broadcast.phase === 'signed';

function withBroadcast(state: QuoteState, broadcast: Broadcast): QuoteState {
  if (broadcast.phase === 'signed') return { ...state, broadcast, status: 'signed' };
  if (state.deposit_id !== '') return { ...state, broadcast, status: 'paid' };
  if (broadcast.phase === 'final') return { ...state, broadcast };
  const isUndone = broadcast.hash !== '';
  return { ...state, broadcast: NO_BROADCAST, status: 'bound', tries: isUndone ? SETTLE_TRIES_MAX : state.tries + 1 };
}
