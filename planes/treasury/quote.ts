/**
 * A price told to somebody who lacked the money for a request, and the one payment that answers it.
 * Promise: a round takes one payment at most; while one is under way no other is asked for; whoever pays, the quote's principal has
 * the money.
 */
import {
  type Command,
  type Decider,
  type Decision,
  type JsonObject,
  microsIn,
  type Reads,
  SAFE_MICROS_MAX,
  type Seen,
  textIn,
  timeUsIn,
} from '@tallystick/kernel';
import { type AuthorizationState, authorizationStream } from './authorization.ts';
import { BROADCAST_TOPIC, broadcastReads, decideBroadcast, isBroadcastCommand } from './broadcast.ts';
import { paymentIn, paymentProblem, paymentTextOf } from './payment.ts';
import {
  authNonceOf,
  evolveQuote,
  NO_QUOTE,
  type QuoteOption,
  type QuoteState,
  quoteIdOf,
  quoteStream,
} from './quote-state.ts';

/** An offer stands so long; later another may take its place. */
export const QUOTE_MS = 600_000;
/** Amounts that one offer lets choose between. */
export const OPTIONS_MAX = 8;
/** A payment whose transaction failed is carried to the chain so often. */
export const SETTLE_TRIES_MAX = 3;

const US_PER_MS = 1_000n;
const US_PER_SECOND = 1_000_000n;

export const quote: Decider<QuoteState> = {
  kind: 'quote',
  initial: NO_QUOTE,
  reads,
  decide(state, command, seen) {
    const { type, principal } = command;
    if (type === 'OfferQuote') return offer(state, command, seen);
    if (type === 'SettleQuote') return principal === 'reaction' ? settle(state, command) : { rejection: 'NOT_FOUND' };
    if (state.status === '') return { rejection: 'NOT_FOUND' };
    if (type === 'BindQuote') return bind(state, command, seen);
    if (isBroadcastCommand(command)) return carry(state, command, seen);
    if (type === 'LapseQuote') return principal === 'platform' ? lapse(state, command) : { rejection: 'NOT_FOUND' };
    throw new TypeError(`a quote knows no command ${type}`);
  },
  evolve: evolveQuote,
  owner: (state) => state.principal || null,
};

function reads(command: Command): Reads {
  if (isBroadcastCommand(command)) return broadcastReads(command);
  if (command.type !== 'BindQuote') return {};
  const { from, nonce } = paymentIn(command.body);
  return { streams: [authorizationStream(textIn(command.body, 'rail'), from, nonce)] };
}

/** A first offer, or another one when the last can take no payment any more and none is under way. */
function offer(state: QuoteState, { stream, principal, body }: Command, seen: Seen): Decision {
  const [id, key, fingerprint] = [
    quoteIdOf(principal, textIn(body, 'key')),
    textIn(body, 'key'),
    textIn(body, 'fingerprint'),
  ];
  if (stream !== quoteStream(id)) return { rejection: 'NOT_FOUND' };
  if (state.status !== '' && state.fingerprint !== fingerprint) return { rejection: 'ALREADY_EXISTS', facts: { id } };
  if (!isReplaceable(state, seen)) return { rejection: 'NOTHING_TO_CHANGE' };
  const options = optionsIn(body);
  const wrong = options.find(({ amount_micros }) => BigInt(amount_micros) <= 0n);
  if (wrong) return { rejection: 'AMOUNT_NOT_POSITIVE', facts: { amount_micros: wrong.amount_micros } };
  const round = state.status === '' ? 0 : state.round + 1;
  const rail = textIn(body, 'rail');
  const offered = {
    ...{ id, principal, key, fingerprint, round, options, rail },
    auth_nonce: authNonceOf(id, round, rail),
    network: textIn(body, 'network'),
    token: textIn(body, 'token'),
    pay_to: textIn(body, 'pay_to'),
    expires_at_us: String(seen.atUs + BigInt(QUOTE_MS) * US_PER_MS),
  };
  return { events: [{ type: 'QuoteOffered', body: offered }], answer: { quote: offered } };
}

function isReplaceable(state: QuoteState, seen: Seen): boolean {
  if (state.status === 'open') return seen.atUs >= timeUsIn(state, 'expires_at_us');
  return state.status === '' || state.status === 'paid' || state.status === 'lapsed';
}

/** @errors throws TypeError for none, too many, or one that the ledger could not hold */
function optionsIn(body: JsonObject): QuoteOption[] {
  const options = body['options'] as QuoteOption[];
  if (options.length === 0 || options.length > OPTIONS_MAX) throw new TypeError(`${options.length} options in a quote`);
  return options.map((option) => {
    const amountMicros = microsIn(option, 'amount_micros');
    if (amountMicros > SAFE_MICROS_MAX) throw new TypeError(`${amountMicros} is more than any amount of the ledger`);
    return { amount_micros: String(amountMicros), label: textIn(option, 'label') };
  });
}

/** The caller's payment, whose signature was checked, for the offer as it stands: also for one that could be replaced and was not. */
function bind(state: QuoteState, { principal, body }: Command, seen: Seen): Decision {
  if (state.principal !== principal) return { rejection: 'NOT_FOUND' };
  if (state.status !== 'open') return { rejection: 'NOTHING_TO_CHANGE' };
  const payment = paymentIn(body);
  const problem = paymentProblem(state, payment, seen.atUs);
  if (problem) return { rejection: 'PAYMENT_INVALID', facts: problem };
  const assigned = seen.state(authorizationStream(textIn(body, 'rail'), payment.from, payment.nonce));
  if (textIn(body, 'rail') !== state.rail || (assigned as AuthorizationState).quote !== state.id)
    return { rejection: 'PAYMENT_INVALID', facts: { field: 'nonce', cause: 'it is for another quote' } };
  return {
    events: [{ type: 'QuoteBound', body: { payment, amount_micros: payment.value } }],
    outbox: [{ topic: BROADCAST_TOPIC, body: { stream: quoteStream(state.id) } }],
    evidence: [{ authorization: paymentTextOf(payment) }],
    answer: { id: state.id },
  };
}

/** Signing, replacing and concluding; what failed is tried again while that can help. */
function carry(state: QuoteState, command: Command, seen: Seen): Decision {
  const isReady = state.status === 'bound' && state.tries < SETTLE_TRIES_MAX;
  if (command.type === 'SignTransaction' && command.principal === 'platform' && !isReady)
    return { rejection: 'NOTHING_TO_CHANGE' };
  const decision = decideBroadcast(state.broadcast, command, seen);
  if ('rejection' in decision || command.type !== 'ConcludeTransaction') return decision;
  const after = decision.events.reduce(evolveQuote, state);
  const isWorthIt = after.status === 'bound' && after.tries < SETTLE_TRIES_MAX && isUsableAt(after, seen.atUs);
  if (!isWorthIt) return decision;
  return { ...decision, outbox: [{ topic: BROADCAST_TOPIC, body: { stream: quoteStream(state.id) } }] };
}

const isUsableAt = ({ payment }: QuoteState, atUs: bigint): boolean =>
  payment !== null && atUs / US_PER_SECOND < BigInt(payment.valid_before);

/** Money of another round is in the account as any deposit is; it does not answer this one. */
function settle(state: QuoteState, { body }: Command): Decision {
  if (state.status === '') return { rejection: 'NOT_FOUND' };
  const [payer, nonce] = [textIn(body, 'payer'), textIn(body, 'nonce')];
  const isOther = state.payment !== null && (state.payment.from !== payer || state.payment.nonce !== nonce);
  if (state.deposit_id !== '' || isOther) return { rejection: 'NOTHING_TO_CHANGE' };
  const [deposit_id, amount_micros] = [textIn(body, 'deposit_id'), textIn(body, 'amount_micros')];
  return { events: [{ type: 'QuoteSettled', body: { deposit_id, amount_micros, payer, nonce } }] };
}

/** Told with a final block whose time is past the payment's last moment, when the token says that it was never used. */
function lapse(state: QuoteState, { body }: Command): Decision {
  const block_time_s = textIn(body, 'block_time_s');
  const isOver = state.payment !== null && BigInt(block_time_s) >= BigInt(state.payment.valid_before);
  if (state.status !== 'bound' || !isOver) return { rejection: 'NOTHING_TO_CHANGE' };
  const [block, block_hash] = [textIn(body, 'block'), textIn(body, 'block_hash')];
  return { events: [{ type: 'QuoteLapsed', body: { block, block_time_s } }], evidence: [{ block_hash }] };
}
