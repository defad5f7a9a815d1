/**
 * A wallet that pays what calls need, within limits.
 * Promise: checked, then signed, then written down, and only then let out; a repeat of a call gets the payment that it had.
 */
import { createHash } from 'node:crypto';
import {
  type PaidCall,
  type Payer,
  type PaymentOption,
  type PaymentRequired,
  refuseHere,
} from '@tallystick/surface/client';
import type { Signer } from '../wallet.ts';
import { accountOf, type CallName, isSameCall, originOf } from './call.ts';
import { type Holds, lackOf } from './cover.ts';
import {
  type Change,
  type IntentStatus,
  type IntentStore,
  isSpent,
  memoryIntents,
  type PaymentIntent,
} from './intents.ts';
import { type Above, isUsable, judge, nonceOf, quoteIdOf, type SpendLimits, type Verdict } from './limits.ts';
import { signedIntent } from './sign.ts';

const ID_HEX_CHARS = 32;
const MS_PER_S = 1_000;

/** What a person is asked. */
export interface PaymentQuestion {
  amountMicros: bigint;
  /** What is in the way. */
  above: Above;
  option: PaymentOption;
  call: PaidCall;
}

export interface SpendGuardOptions extends SpendLimits {
  /** Opened only when there is something to sign. */
  signer: Signer | (() => Promise<Signer>);
  /** Absent: kept as long as the process, and so are the limits of a day. */
  intents?: IntentStore;
  /** Less than is asked, and nothing is signed. */
  holds?: Holds | undefined;
  /** Asks a person about a payment above the limits; absent: it is refused. */
  ask?: ((question: PaymentQuestion) => Promise<boolean>) | undefined;
  /** Ends the sentence that refuses: how a person allows the payment. */
  wayOut?: ((intent: PaymentIntent) => string) | undefined;
  nowMs?: () => number;
}

interface Guard extends SpendGuardOptions {
  intents: IntentStore;
  nowMs: () => number;
}

/**
 * For `connect({ payer })`.
 * @errors its payments throw ApiError `payment_above_limit`, `payment_payee_refused`, `payment_unresolved`,
 * `payment_offer_invalid`, `payment_declined`; whatever it throws, nothing was paid
 * @example
 * const payer = spendGuard({ signer, perPaymentMicros: 1_000_000n, perDayMicros: 5_000_000n, allow: [payeeOf(reserves)] });
 * const tally = connect({ baseUrl, apiKey, payer });
 */
export function spendGuard(options: SpendGuardOptions): Payer {
  const nowMs = options.nowMs ?? Date.now;
  const guard: Guard = { ...options, nowMs, intents: options.intents ?? memoryIntents(nowMs) };
  return {
    pay: (required, call) => pay(guard, required, call),
    accepted: (call) => mark(guard, call, { status: 'bound', tx: '', payer: '' }),
    settled: ({ transaction: tx, payer }, call) => mark(guard, call, { status: 'settled', tx, payer }),
  };
}

const nameOf = ({ idempotencyKey: key, url }: PaidCall, account: string): CallName => ({
  origin: originOf(url),
  account,
  key,
});

/** A call, and how long the offer for it stands. */
interface Asked extends Pick<PaymentRequired, 'expiresAtMs'> {
  name: CallName;
  paid: PaidCall;
}

const expiryOf = ({ maxTimeoutS }: PaymentOption, { expiresAtMs }: Asked, nowMs: number): number =>
  expiresAtMs ?? nowMs + maxTimeoutS * MS_PER_S;

async function pay(guard: Guard, required: PaymentRequired, paid: PaidCall): Promise<string> {
  const name = nameOf(paid, accountOf(required, guard.account));
  const call: Asked = { name, paid, expiresAtMs: required.expiresAtMs };
  const { intents, nowMs } = guard;
  const caseOf = (allowedMicros?: bigint) => {
    const given = { required, call: name, limits: guard, nowMs: nowMs() };
    return allowedMicros === undefined ? given : { ...given, allowedMicros };
  };
  const first = judge(await intents.read(), caseOf());
  if (first.kind === 'again') return first.intent.header;
  const allowedMicros = first.kind === 'above' ? await askedFor(guard, first, call) : undefined;
  const signer = await openSigner(guard, first, call);
  await assertCovered(guard, signer, first, call);
  const decided = await intents.change<string | Error>(async (all) => {
    const verdict = judge(all, caseOf(allowedMicros));
    if (verdict.kind === 'again') return { put: [], answer: verdict.intent.header };
    const { option } = verdict;
    if (verdict.kind === 'pay') {
      const signed = await signedIntent(openIntent(all, option, call, nowMs()), option, signer, nowMs());
      return { put: [signed], answer: signed.header };
    }
    // somebody else paid while the wallet was opened
    const { put, answer: intent } = kept(all, option, { call, cause: verdict.above.cap, nowMs: nowMs() });
    return { put, answer: aboveLimit(guard, verdict.above, intent) };
  });
  if (typeof decided === 'string') return decided;
  throw decided;
}

type Unsigned = Exclude<Verdict, { kind: 'again' }>;

/** The amount that a person allows. @errors throws ApiError, with the intent kept for them to allow it later */
async function askedFor(guard: Guard, verdict: Unsigned & { kind: 'above' }, call: Asked): Promise<bigint> {
  const { option, above } = verdict;
  const { amountMicros } = option;
  if (guard.ask === undefined) throw aboveLimit(guard, above, await refused(guard, option, call, above.cap));
  if (await guard.ask({ amountMicros, above, option, call: call.paid })) return amountMicros;
  throw declined(guard, await refused(guard, option, call, 'declined'), 'it was declined');
}

async function openSigner(guard: Guard, { option }: Unsigned, call: Asked): Promise<Signer> {
  try {
    return typeof guard.signer === 'function' ? await guard.signer() : guard.signer;
  } catch (fault) {
    const cause = fault instanceof Error ? fault.message : String(fault);
    throw declined(guard, await refused(guard, option, call, cause), cause);
  }
}

async function assertCovered(guard: Guard, { address }: Signer, { option }: Unsigned, call: Asked): Promise<void> {
  const cause = await lackOf(guard.holds, address, option);
  if (cause === undefined) return;
  const intent = await refused(guard, option, call, cause);
  throw declined({ ...guard, wayOut: () => `Then repeat the call with the same key: ${intent.key}` }, intent, cause);
}

const refused = (guard: Guard, option: PaymentOption, call: Asked, cause: string): Promise<PaymentIntent> =>
  guard.intents.change((all) => kept(all, option, { call, cause, nowMs: guard.nowMs() }));

interface Refused {
  call: Asked;
  cause: string;
  nowMs: number;
}

/** Keeps what was refused, so that a person can allow it. What was signed meanwhile stays as it is. */
function kept(
  all: readonly PaymentIntent[],
  option: PaymentOption,
  { call, cause, nowMs }: Refused,
): Change<PaymentIntent> {
  const nonce = nonceOf(option);
  const signed = all.find((one) => isSameCall(one, call.name) && one.nonce === nonce && isUsable(one, nowMs));
  if (signed) return { put: [], answer: signed };
  const open = openIntent(all, option, call, nowMs);
  const status: IntentStatus = option.amountMicros <= BigInt(open.approved_micros) ? 'approved' : 'refused';
  const intent = { ...open, status, cause, expires_at_ms: expiryOf(option, call, nowMs) };
  return { put: [intent], answer: intent };
}

/** The one of this call that is not signed yet, for this offer; a new one when there is none. */
function openIntent(
  all: readonly PaymentIntent[],
  option: PaymentOption,
  { name, paid: { method, url } }: Asked,
  nowMs: number,
): PaymentIntent {
  const mine = all.filter((intent) => isSameCall(intent, name));
  const open = mine.find((intent) => !isSpent(intent));
  if (open) return { ...open, ...name, account: name.account || open.account, ...offerOf(option) };
  const turn = 1 + Math.max(0, ...mine.map((intent) => intent.turn));
  const call = `${method} ${url.replace(/[?#].*$/, '')}`;
  const named = { id: idOf(name, turn), status: 'refused', ...name, turn, call } as const;
  const unsigned = { from: '', valid_before_s: 0, header: '', tx: '', approved_micros: '0', cause: '' };
  return { ...named, ...offerOf(option), ...unsigned, at_ms: nowMs, expires_at_ms: 0 };
}

function idOf({ origin, account, key }: CallName, turn: number): string {
  const named = JSON.stringify([origin, account, key, turn]);
  return `pay_${createHash('sha256').update(named).digest('hex').slice(0, ID_HEX_CHARS)}`;
}

const offerOf = (option: PaymentOption) => ({
  quote_id: quoteIdOf(option),
  nonce: nonceOf(option),
  network: option.network,
  asset: option.asset,
  pay_to: option.payTo,
  amount_micros: String(option.amountMicros),
  label: String(option.extra['label'] ?? ''),
  offer: option.written,
});

const wayOutOf = ({ wayOut }: Guard, intent: PaymentIntent): { suggestion: string } | undefined =>
  wayOut && { suggestion: wayOut(intent) };

function aboveLimit(guard: Guard, above: Above, intent: PaymentIntent): Error {
  const { id: payment_id, quote_id, key: idempotency_key, amount_micros } = intent;
  const limits = {
    per_payment_micros: Number(above.perPaymentMicros),
    per_day_micros: Number(above.perDayMicros),
    left_of_day_micros: Number(above.leftOfDayMicros),
  };
  const [cap_micros, available_micros] = [Number(above.capMicros), Number(above.availableMicros)];
  const money = { cap: above.cap, cap_micros, asked_micros: Number(amount_micros), available_micros };
  const facts = { ...money, ...limits, payment_id, quote_id, idempotency_key };
  return refuseHere('PAYMENT_ABOVE_LIMIT', { facts, ...wayOutOf(guard, intent) });
}

function declined(guard: Guard, intent: PaymentIntent, cause: string): Error {
  const { id: payment_id, key: idempotency_key, amount_micros } = intent;
  const facts = { asked_micros: Number(amount_micros), payment_id, idempotency_key, cause };
  return refuseHere('PAYMENT_DECLINED', { facts, ...wayOutOf(guard, intent) });
}

interface Mark {
  status: 'bound' | 'settled';
  tx: string;
  /** Empty: whoever's. */
  payer: string;
}

/** The newest payment of this call that is not taken yet. What somebody else paid says nothing of ours. */
const mark = ({ intents, account = '' }: Guard, call: PaidCall, { status, tx, payer }: Mark): Promise<void> =>
  intents.change((all) => {
    const name = nameOf(call, account);
    const isOurs = ({ from }: PaymentIntent): boolean => payer === '' || from.toLowerCase() === payer.toLowerCase();
    const mine = all.filter((one) => isSameCall(one, name) && isSpent(one) && one.status !== 'settled' && isOurs(one));
    const newest = mine.sort((a, b) => a.turn - b.turn).at(-1);
    if (!newest || newest.status === status) return { put: [], answer: undefined };
    return { put: [{ ...newest, status, tx: tx || newest.tx }], answer: undefined };
  });
