/**
 * A price told to somebody who lacked the money for a request, and the one payment that answers it.
 * Promise: a round takes one payment at most; while one is under way no other is asked for; whoever pays, the quote's principal has
 * the money.
 */
import {
  CAP_ISSUER,
  type Command,
  type Decider,
  type Decision,
  flagIn,
  type JsonObject,
  microsIn,
  optionalIn,
  type Posting,
  paymentAccount,
  promisedAccount,
  type Reads,
  SAFE_MICROS_MAX,
  type Seen,
  textIn,
  timeUsIn,
} from '@tallystick/kernel';
import { type AuthorizationState, authorizationStream } from './authorization.ts';
import { BROADCAST_TOPIC, broadcastReads, decideBroadcast, isBroadcastCommand } from './broadcast.ts';
import { type Payment, type PaymentProblem, paymentIn, paymentProblem, paymentTextOf } from './payment.ts';
import {
  authNonceOf,
  evolveQuote,
  isOnlyAwaited,
  NO_QUOTE,
  type QuoteOption,
  type QuoteState,
  quoteIdOf,
  quoteStream,
  SETTLE_TRIES_MAX,
} from './quote-state.ts';
import { type RailState, railStream } from './rail.ts';

/** An offer stands so long; later another may take its place. */
export const QUOTE_MS = 600_000;
/** Amounts that one offer lets choose between. */
export const OPTIONS_MAX = 8;

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
    if (type === 'LapseQuote')
      return principal === 'platform' ? lapse(state, command, seen) : { rejection: 'NOT_FOUND' };
    throw new TypeError(`a quote knows no command ${type}`);
  },
  evolve: evolveQuote,
  owner: (state) => state.principal || null,
};

function reads(command: Command): Reads {
  if (isBroadcastCommand(command)) return broadcastReads(command);
  if (command.type === 'LapseQuote') return lapseReads(command.body);
  if (command.type !== 'BindQuote') return {};
  const [{ from, nonce }, rail] = [paymentIn(command.body), textIn(command.body, 'rail')];
  return { streams: [authorizationStream(rail, from, nonce)], accounts: [promisedAccount(rail, from)] };
}

function lapseReads(body: JsonObject): Reads {
  const [rail, payer, nonce] = [textIn(body, 'rail'), textIn(body, 'payer'), textIn(body, 'nonce')];
  return { streams: [railStream(rail)], accounts: [paymentAccount(rail, payer, nonce)] };
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

/**
 * The caller's payment, whose signature was checked, for the offer as it stands: also for one that could be replaced and was not.
 * With `cover_micros`, what its payer has for payments on the chain; absent: nobody looked.
 */
function bind(state: QuoteState, { principal, body }: Command, seen: Seen): Decision {
  if (state.principal !== principal) return { rejection: 'NOT_FOUND' };
  if (state.status !== 'open') return { rejection: 'NOTHING_TO_CHANGE' };
  const [payment, rail] = [paymentIn(body), textIn(body, 'rail')];
  const assigned = seen.state(authorizationStream(rail, payment.from, payment.nonce)) as AuthorizationState;
  const isAssigned = rail === state.rail && assigned.quote === state.id;
  const account = promisedAccount(rail, payment.from);
  const promised = seen.availableMicros(account);
  const problem =
    paymentProblem(state, payment, seen.atUs) ??
    (isAssigned ? undefined : { field: 'nonce', cause: 'it is for another quote' }) ??
    coverProblem(payment, promised ?? 0n, optionalIn(body, 'cover_micros', microsIn));
  if (problem) return { rejection: 'PAYMENT_INVALID', facts: problem };
  const promised_micros = payment.value;
  return {
    events: [{ type: 'QuoteBound', body: { payment, amount_micros: payment.value, promised_micros } }],
    opens: promised === undefined ? [{ account, asset: 'cap', noOverdraft: true }] : [],
    postings: [{ asset: 'cap', debit: CAP_ISSUER, credit: account, amountMicros: BigInt(promised_micros) }],
    outbox: [{ topic: BROADCAST_TOPIC, body: { stream: quoteStream(state.id) } }],
    evidence: [{ authorization: paymentTextOf(payment) }],
    answer: { id: state.id },
  };
}

/** What a payer has promised and has not paid is not there a second time; where nobody looked, one payment at a time. */
function coverProblem({ value }: Payment, promised: bigint, coverMicros: bigint | null): PaymentProblem | undefined {
  const cover = coverMicros ?? (promised === 0n ? BigInt(value) : 0n);
  if (promised + BigInt(value) <= cover) return undefined;
  const other = `${promised} micros are promised to payments that are under way`;
  return { field: 'value', cause: `its payer has ${cover} micros on the chain, of which ${other}` };
}

/** Paid, or never to be paid: its payer's money may be promised again. */
function promiseOver({ rail, payment, promised_micros = '0' }: QuoteState): Posting[] {
  const amountMicros = BigInt(promised_micros);
  if (payment === null || amountMicros === 0n) return [];
  return [{ asset: 'cap', debit: promisedAccount(rail, payment.from), credit: CAP_ISSUER, amountMicros }];
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
  const event = { type: 'QuoteSettled', body: { deposit_id, amount_micros, payer, nonce } };
  return { events: [event], postings: promiseOver(state) };
}

/**
 * Told with a final block whose time is past the payment's last moment. Either the token says that it was never used, or every block
 * up to that one was looked through and its money did not come: it was taken back, or used for something else.
 */
function lapse(state: QuoteState, { body }: Command, seen: Seen): Decision {
  const [rail, block, block_time_s] = [textIn(body, 'rail'), textIn(body, 'block'), textIn(body, 'block_time_s')];
  if (rail !== state.rail) return { rejection: 'NOT_FOUND' };
  const { scanned } = seen.state(railStream(rail)) as RailState;
  const isOver = state.payment !== null && BigInt(block_time_s) >= BigInt(state.payment.valid_before);
  const isNowhere = !flagIn(body, 'is_used') || BigInt(scanned.number) >= BigInt(block);
  const [payer, nonce] = [textIn(body, 'payer'), textIn(body, 'nonce')];
  const isIt = state.payment?.from === payer && state.payment.nonce === nonce;
  const isCredited = seen.availableMicros(paymentAccount(rail, payer, nonce)) !== undefined; // its quote hears of it soon
  if (!isOnlyAwaited(state) || !isIt || !isOver || !isNowhere || isCredited) return { rejection: 'NOTHING_TO_CHANGE' };
  const event = { type: 'QuoteLapsed', body: { block, block_time_s } };
  const evidence = [{ block_hash: textIn(body, 'block_hash') }];
  return { events: [event], postings: promiseOver(state), evidence };
}
