/**
 * Requests that cost money, from callers who may lack it: told what to pay, waited for, carried out once.
 * Promise: a payment only ever credits the caller's account, and the request then runs against it under its own key; while a payment
 * is under way nobody is asked to pay again.
 */
import type { Engine, Outcome } from '@tallystick/engine';
import { burnMicrosPerHour } from '@tallystick/hosting';
import { type Command, type JsonObject, microsIn, timeTextOf } from '@tallystick/kernel';
import type { ErrorCodeName } from '@tallystick/proto';
import { type Call, refuse } from '@tallystick/surface';
import { depositStream, type QuoteOption, type QuoteState } from '@tallystick/treasury';
import type { Desk } from '../deposits/desk.ts';
import { burningMachines } from '../forecast.ts';
import {
  type Accepted,
  accepted,
  commandFrom,
  isUnfunded,
  newestTry,
  nextTry,
  REPEATS_UNFUNDED_MAX,
  type Try,
  usedUp,
} from '../outcome.ts';
import type { GasGauge } from './gas.ts';
import { burnOf, ladderOf } from './ladder.ts';
import {
  availableMicros,
  isCredited,
  isUnderWay,
  type LookAt,
  offer,
  paymentOf,
  quoteOf,
  settling,
  take,
  untilOver,
} from './quotes.ts';
import { invalid, paymentRequired, paymentResponse, readPayment } from './wire.ts';

export interface Till {
  desk: Desk;
  gas: GasGauge;
  /** By which all who wait for a payment look for it. */
  look: LookAt;
  /** The smallest payment: each costs the platform gas. */
  leastMicros: bigint;
  /** Where callers reach the api; absent: as the caller names it. */
  publicUrl: string | undefined;
}

/** Tries of one key that are not kept for when there is money. */
const TRIES_WITHOUT_MONEY_MAX = 8;

/**
 * Runs a command that costs money; without enough of it, 402 with a quote.
 * @errors throws INSUFFICIENT_FUNDS with what can be paid, PAYMENT_INVALID, PAYMENT_SETTLING, and what the rejection names
 */
export async function executeCharging(till: Till, call: Call, command: Command): Promise<Accepted> {
  const { engine } = till.desk;
  const first = await engine.execute(command);
  if (!isUnfunded(first)) return told(call, first);
  const newest = first.replayed ? await newestTry(engine, command, first) : { link: 0, outcome: first };
  const quote = await paidFor(till, call, command, newest);
  const { link, outcome } = await tryAgain(engine, command, newest);
  if (!isUnfunded(outcome)) {
    if (quote) await tellPayment(engine, call, quote);
    return told(call, outcome);
  }
  if (link >= REPEATS_UNFUNDED_MAX) throw usedUp(outcome);
  const requiredMicros = requiredOf(outcome);
  const shortMicros = requiredMicros - (await availableMicros(engine, command.principal));
  const options = async (): Promise<QuoteOption[]> =>
    ladderOf(shortMicros > 0n ? shortMicros : 1n, await burnOf(engine, command), till.leastMicros);
  throw await priced(till, call, { requiredMicros, shortMicros, options, earlier: quote });
}

const requiredOf = ({ facts = {} }: Outcome): bigint => microsIn(facts, 'required_micros');

/** No payment is taken for what was carried out, or never can be under this key. @errors as `paid` */
async function paidFor(till: Till, call: Call, command: Command, newest: Try): Promise<QuoteState | undefined> {
  const { engine } = till.desk;
  if (!isUnfunded(newest.outcome)) return quoteOf(engine, call);
  const header = newest.link >= REPEATS_UNFUNDED_MAX ? undefined : call.paymentSignature;
  const required = requiredOf(newest.outcome);
  return paid(till, call, header, async () => (await availableMicros(engine, command.principal)) < required);
}

function told(call: Call, outcome: Outcome): Accepted {
  if (outcome.replayed) call.setHeader('idempotent-replayed', 'true');
  return accepted(outcome);
}

/** After the newest try the next, if there is one left; the last of them only when there is money. Says which was the last. */
async function tryAgain(engine: Engine, command: Command, newest: Try): Promise<Try> {
  let { link, outcome } = newest;
  if (link > 0) outcome = await nextTry(engine, command, link);
  while (isUnfunded(outcome) && outcome.replayed && link < REPEATS_UNFUNDED_MAX) {
    const isKept = link >= TRIES_WITHOUT_MONEY_MAX;
    if (isKept && (await availableMicros(engine, command.principal)) < requiredOf(outcome)) break;
    link += 1;
    outcome = await nextTry(engine, command, link);
  }
  return { link, outcome };
}

/**
 * The quote of this request, its payment taken and waited for where there is one and its money is still needed.
 * @errors throws PAYMENT_INVALID when nothing is bound, PAYMENT_SETTLING when it is not over in time
 */
async function paid(
  { desk, look }: Till,
  call: Call,
  header: string | undefined,
  isNeeded: () => Promise<boolean>,
): Promise<QuoteState | undefined> {
  const quote = await quoteOf(desk.engine, call);
  if (header !== undefined && !quote) throw invalid('payment-signature', 'nothing was offered for this request');
  const isPaying = quote?.status === 'open' && header !== undefined;
  if (!quote || isCredited(quote) || !(isPaying || isUnderWay(quote)) || !(await isNeeded())) return quote;
  if (isPaying) await take(desk, call, quote, readPayment(header));
  return untilOver(look, call, quote.id);
}

async function tellPayment(engine: Engine, call: Call, quote: QuoteState): Promise<void> {
  const done = await paymentOf(engine, quote);
  if (done) call.setHeader('payment-response', paymentResponse(done));
}

/** As what a lack of money is told, and what is said besides the amounts. */
export interface Lack {
  code: ErrorCodeName;
  facts: JsonObject;
}

/** Without which a request cannot even be asked. */
export interface Need {
  lack: Lack;
  requiredMicros: bigint;
  /** Asked after the balance: what was short may be short because it was paid with meanwhile. */
  isStill: () => Promise<boolean>;
}

const SHORT: Lack = { code: 'INSUFFICIENT_FUNDS', facts: {} };

/** What a refusal for want of money says of amounts. */
export const amountsOf = (requiredMicros: bigint, shortMicros: bigint): JsonObject => ({
  required_micros: String(requiredMicros),
  available_micros: String(requiredMicros - shortMicros),
  shortfall_micros: String(shortMicros),
});

interface Price {
  /** Absent: as that of any request that costs money. */
  lack?: Lack;
  requiredMicros: bigint;
  shortMicros: bigint;
  /** Asked for when a new offer is made. */
  options: () => Promise<QuoteOption[]>;
  /** What was paid for this request before, and is too little by now. */
  earlier?: QuoteState | undefined;
}

/** The 402 itself, with the offer that stands. */
async function priced(till: Till, call: Call, price: Price): Promise<Error> {
  const { lack = SHORT, requiredMicros, shortMicros, options, earlier } = price;
  const { desk, gas, publicUrl } = till;
  const amounts: JsonObject = { ...lack.facts, ...amountsOf(requiredMicros, shortMicros) };
  if (!(await gas.isEnough())) {
    const standing = await quoteOf(desk.engine, call);
    return standing && isUnderWay(standing) ? settling(standing) : refuse(lack.code, amounts);
  }
  const quote = await offer(desk, call, options);
  if (quote.status !== 'open') return settling(quote);
  const facts: JsonObject = {
    ...amounts,
    quote_id: quote.id,
    expires_at: timeTextOf(BigInt(quote.expires_at_us)),
    options: quote.options,
  };
  const url = `${(publicUrl ?? `http://${call.host}`).replace(/\/$/, '')}${call.target}`;
  const done = earlier && (await paymentOf(desk.engine, earlier));
  const headers = {
    'payment-required': paymentRequired(quote, desk.settings.config, url),
    ...(done ? { 'payment-response': paymentResponse(done) } : {}),
  };
  return refuse(lack.code, facts, undefined, { headers });
}

/**
 * Money that a request needs before it can be asked: nothing of the request is on record yet, and it is carried out afterwards under its
 * own key like any other. Resolves when the account has so much, or it is needed no more.
 * @errors throws the lack with what can be paid, IDEMPOTENCY_KEY_REUSED, PAYMENT_INVALID, PAYMENT_SETTLING
 */
export async function fundFirst(till: Till, call: Call, { lack, requiredMicros, isStill }: Need): Promise<void> {
  const { engine } = till.desk;
  const { id } = call.principal!;
  const standing = await quoteOf(engine, call);
  if (standing && standing.fingerprint !== call.fingerprint)
    throw refuse('IDEMPOTENCY_KEY_REUSED', { first_command: 'OfferQuote', first_receipt: '' });
  const shortNow = async (): Promise<bigint> => requiredMicros - (await availableMicros(engine, id));
  const earlier = await paid(till, call, call.paymentSignature, async () => (await shortNow()) > 0n);
  const shortMicros = await shortNow();
  if (shortMicros <= 0n || !(await isStill())) return;
  const options = async (): Promise<QuoteOption[]> =>
    ladderOf(shortMicros, burnMicrosPerHour(await burningMachines(engine, id)), till.leastMicros);
  throw await priced(till, call, { lack, requiredMicros, shortMicros, options, earlier });
}

/** Says by which payment the caller's request was paid for, if by one. */
export async function tellPaid({ desk: { engine } }: Till, call: Call): Promise<void> {
  const quote = await quoteOf(engine, call);
  if (quote) await tellPayment(engine, call, quote);
}

/** Money for the caller's own account and nothing else. Resolves with the deposit's stream. @errors as `executeCharging` */
export async function topUp(till: Till, call: Call, amountMicros: bigint): Promise<string> {
  const { engine } = till.desk;
  const target = {
    stream: `account:${call.principal!.id}`,
    type: 'RequestTopUp',
    body: { amount_micros: String(amountMicros) },
  };
  accepted(await engine.execute(commandFrom(call, target)));
  const quote = await paid(till, call, call.paymentSignature, async () => true);
  if (quote && isCredited(quote)) {
    await tellPayment(engine, call, quote);
    return depositStream(quote.deposit_id);
  }
  const isBelow = amountMicros < till.leastMicros;
  const micros = isBelow ? till.leastMicros : amountMicros;
  const option = { label: isBelow ? 'minimum' : 'top_up', amount_micros: String(micros) };
  const availableNow = await availableMicros(engine, call.principal!.id);
  throw await priced(till, call, {
    requiredMicros: availableNow + amountMicros,
    shortMicros: amountMicros,
    options: async () => [option],
  });
}
