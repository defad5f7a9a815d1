/**
 * What a wallet may pay by itself.
 * Promise: pure; the order of the checks is: payee, signed before, nonce, earlier payments, one payment, a day, the wish to be asked.
 */
import type { Reserves } from '@tallystick/proto';
import { type PaymentOption, type PaymentRequired, refuseHere } from '@tallystick/surface/client';
import { type CallName, isSameCall } from './call.ts';
import { DAY_MS, deadAtMs, isSpent, type PaymentIntent } from './intents.ts';

/** Where to a wallet pays, and with which token. Compared without regard to case. */
export interface Payee {
  /** CAIP-2, such as `eip155:8453`. */
  network: string;
  asset: string;
  payTo: string;
}

/** Where a platform wants payments: its treasury, as its reserves tell it. */
export const payeeOf = ({ network, token, treasury }: Pick<Reserves, 'network' | 'token' | 'treasury'>): Payee => ({
  network,
  asset: token,
  payTo: treasury,
});

export interface SpendLimits {
  /** The most in one payment; 0: nothing without being asked. */
  perPaymentMicros: bigint;
  /**
   * The most in any 24 hours, what people allowed included; 0: nothing without being asked. What was signed counts for its 24 hours also
   * when it was never used: only its platform could say that, and a wallet that took its word could be made to sign without end.
   */
  perDayMicros: bigint;
  /** Nothing without being asked, also what both limits hold. */
  askAlways?: boolean | undefined;
  allow: readonly Payee[];
  /** Whose account a payment must be credited to, as the offer says it; absent: whoever's. */
  account?: string | undefined;
  /** A word of the label of the amount to take, such as `6h`, `24h` or `floor`, where the limits hold it; absent: the smallest. */
  prefer?: string | undefined;
}

/** Payments of one day: more are a loop, not work. */
export const PAYMENTS_PER_DAY_MAX = 1_000;
/** A payment that can be used for less is not worth sending. */
const USABLE_MS_MIN = 15_000;

const NONCE = /^0x[0-9a-f]{64}$/;
const MS_PER_S = 1_000;

/** Whether its header can be sent. */
export const isUsable = (intent: PaymentIntent, nowMs: number): boolean =>
  isSpent(intent) && intent.header !== '' && intent.valid_before_s * MS_PER_S - nowMs > USABLE_MS_MIN;

/** What is in the way, and all that the limits say. */
export interface Above {
  /** `ask_always`: no limit, only the wish to be asked. */
  cap: 'per_payment' | 'per_day' | 'payments_per_day' | 'ask_always';
  /** Of `ask_always`: of one payment. */
  capMicros: bigint;
  /** Of `ask_always`: what both limits hold. */
  availableMicros: bigint;
  perPaymentMicros: bigint;
  perDayMicros: bigint;
  /** What is not spent of the last 24 hours' limit. */
  leftOfDayMicros: bigint;
}

export type Verdict =
  /** Signed before: the same payment again. */
  | { kind: 'again'; intent: PaymentIntent }
  | { kind: 'pay'; option: PaymentOption; intent: PaymentIntent | undefined }
  | { kind: 'above'; option: PaymentOption; intent: PaymentIntent | undefined; above: Above };

export interface Case {
  required: PaymentRequired;
  call: CallName;
  limits: SpendLimits;
  nowMs: number;
  /** A person has just allowed so much. */
  allowedMicros?: bigint;
}

/**
 * What to do about an offer, given all earlier intents.
 * @errors throws ApiError `payment_payee_refused`, `payment_offer_invalid` or `payment_unresolved`
 */
export function judge(intents: readonly PaymentIntent[], given: Case): Verdict {
  const { required, call, limits, nowMs } = given;
  const options = allowedOptions(required, limits);
  const nonces = new Set(options.map(nonceOf));
  const mine = intents.filter((intent) => isSameCall(intent, call));
  const again = mine.find((intent) => nonces.has(intent.nonce) && isUsable(intent, nowMs));
  if (again) return { kind: 'again', intent: again };
  refuseUsedNonce(intents, options, call);
  refuseUnresolved(mine, nonces, nowMs);
  const open = mine.find((intent) => !isSpent(intent));
  const freeMicros = given.allowedMicros ?? BigInt(open?.approved_micros ?? '0');
  return choose(options, limits, { intents, nowMs, freeMicros, open });
}

function allowedOptions({ options }: PaymentRequired, { allow, account }: SpendLimits): PaymentOption[] {
  const other = options.find(({ extra }) => account !== undefined && extra['creditAccount'] !== account);
  if (other) {
    const facts = { cap: 'account', asked: String(other.extra['creditAccount'] ?? ''), available: account ?? '' };
    throw refuseHere('PAYMENT_PAYEE_REFUSED', { facts });
  }
  const isAllowed = ({ scheme, ...option }: PaymentOption): boolean =>
    scheme === 'exact' && allow.some((payee) => payeeText(payee) === payeeText(option));
  const allowed = options.filter(isAllowed);
  if (allowed.length > 0) return allowed.sort((a, b) => (a.amountMicros < b.amountMicros ? -1 : 1));
  const [first] = options;
  const asked = first ? `${first.scheme === 'exact' ? '' : `${first.scheme} `}${payeeText(first)}` : '';
  const available = allow.map(payeeText).join(' ');
  throw refuseHere('PAYMENT_PAYEE_REFUSED', { facts: { cap: 'allow', asked, available } });
}

/** `eip155:8453/0xtoken/0xpayee`. */
export const payeeText = ({ network, asset, payTo }: Payee): string => `${network}/${asset}/${payTo}`.toLowerCase();

/** The nonce that the platform wants signed. @errors throws ApiError `payment_offer_invalid` */
export function nonceOf({ extra }: PaymentOption): string {
  const nonce = extra['authNonce'];
  if (typeof nonce === 'string' && NONCE.test(nonce)) return nonce;
  throw refuseHere('PAYMENT_OFFER_INVALID', { facts: { cause: 'authNonce is not 0x and 64 lower-case hex digits' } });
}

export const quoteIdOf = ({ extra }: PaymentOption): string => String(extra['quoteId'] ?? '');

/** A nonce is good for one payment: offered for another call it would make two quotes out of one payment. */
function refuseUsedNonce(intents: readonly PaymentIntent[], options: readonly PaymentOption[], call: CallName): void {
  const used = intents.find(
    (intent) =>
      isSpent(intent) && options.some((option) => nonceOf(option) === intent.nonce && isOther(intent, option)),
  );
  if (!used) return;
  const cause = `its authNonce was signed before, for ${used.quote_id}, by ${used.id}`;
  throw refuseHere('PAYMENT_OFFER_INVALID', { facts: { cause } });

  function isOther(intent: PaymentIntent, option: PaymentOption): boolean {
    return !isSameCall(intent, call) || intent.quote_id !== quoteIdOf(option) || intent.status === 'settled';
  }
}

/**
 * Signed anew is only beside a payment that the platform said to carry or to have (another offer means that it has given it up), or that
 * no block can carry out any more.
 * @errors throws ApiError `payment_unresolved`
 */
export function refuseUnresolved(mine: readonly PaymentIntent[], nonces: ReadonlySet<string>, nowMs: number): void {
  const mayBeTaken = ({ status, nonce }: PaymentIntent): boolean => status === 'signed' || nonces.has(nonce);
  const waiting = mine.find((intent) => isSpent(intent) && mayBeTaken(intent) && deadAtMs(intent) > nowMs);
  if (!waiting) return;
  const facts = { payment_id: waiting.id, quote_id: waiting.quote_id, retry_after_ms: deadAtMs(waiting) - nowMs };
  throw refuseHere('PAYMENT_UNRESOLVED', { facts });
}

interface Purse {
  intents: readonly PaymentIntent[];
  nowMs: number;
  /** Allowed by a person, beyond the limits. */
  freeMicros: bigint;
  open: PaymentIntent | undefined;
}

/** The preferred amount if the limits hold it, else the smallest. */
function choose(options: readonly PaymentOption[], limits: SpendLimits, purse: Purse): Verdict {
  const { prefer = '' } = limits;
  const preferred = options.find(
    ({ extra }) =>
      prefer !== '' &&
      String(extra['label'] ?? '')
        .split('_')
        .includes(prefer),
  );
  const intent = purse.open;
  if (preferred && !inTheWay(preferred, limits, purse)) return { kind: 'pay', option: preferred, intent };
  const option = options[0]!;
  const above = inTheWay(option, limits, purse);
  return above ? { kind: 'above', option, intent, above } : { kind: 'pay', option, intent };
}

function inTheWay({ amountMicros }: PaymentOption, limits: SpendLimits, purse: Purse): Above | undefined {
  const { perPaymentMicros, perDayMicros, askAlways = false } = limits;
  const recent = purse.intents.filter((intent) => isSpent(intent) && intent.at_ms > purse.nowMs - DAY_MS);
  const spentMicros = recent.reduce((sum, intent) => sum + BigInt(intent.amount_micros), 0n);
  const leftOfDayMicros = perDayMicros > spentMicros ? perDayMicros - spentMicros : 0n;
  const all = { perPaymentMicros, perDayMicros, leftOfDayMicros };
  if (recent.length >= PAYMENTS_PER_DAY_MAX)
    return { cap: 'payments_per_day', capMicros: perDayMicros, availableMicros: 0n, ...all };
  if (amountMicros <= purse.freeMicros) return undefined;
  if (amountMicros > perPaymentMicros)
    return { cap: 'per_payment', capMicros: perPaymentMicros, availableMicros: perPaymentMicros, ...all };
  if (amountMicros > leftOfDayMicros)
    return { cap: 'per_day', capMicros: perDayMicros, availableMicros: leftOfDayMicros, ...all };
  if (!askAlways) return undefined;
  const availableMicros = perPaymentMicros < leftOfDayMicros ? perPaymentMicros : leftOfDayMicros;
  return { cap: 'ask_always', capMicros: perPaymentMicros, availableMicros, ...all };
}
