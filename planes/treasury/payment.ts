/**
 * A payment by ERC-3009 as a quote knows it, and what would be wrong with it.
 * Promise: the one place that says which payment answers a quote; whose signature it bears is looked at where chains are known.
 */
import { type JsonObject, textIn } from '@tallystick/kernel';

/** An authorization that its payer signed. Addresses and nonce in lower case; times in seconds since 1970, decimal. */
export type Payment = {
  from: string;
  to: string;
  /** Micros. */
  value: string;
  valid_after: string;
  valid_before: string;
  /** 0x and 64 hex digits. */
  nonce: string;
  /** 0x and hex digits: of a key, or whatever a contract wallet takes. */
  signature: string;
};

/** A payment must stay usable so long, or it would die on its way to a block. */
export const VALID_AHEAD_S_MIN = 10n;
/** Longer, and a quote could be held up by a payment that never comes. */
export const VALID_AHEAD_S_MAX = 3_600n;
const US_PER_SECOND = 1_000_000n;

/** What is wrong with a payment: which member, and why. */
export type PaymentProblem = { field: string; cause: string };

/** @errors throws TypeError for a member that is no text */
export function paymentIn(body: JsonObject): Payment {
  const payment = body['payment'] as JsonObject;
  const of = (name: string): string => textIn(payment, name);
  return {
    from: of('from'),
    to: of('to'),
    value: of('value'),
    valid_after: of('valid_after'),
    valid_before: of('valid_before'),
    nonce: of('nonce'),
    signature: of('signature'),
  };
}

/** Names the authorization for whoever looks for it on a chain. */
export const paymentTextOf = ({ from, nonce }: Payment): string => `${from}/${nonce}`;

/** What a payment must fit. */
export interface PaymentTerms {
  pay_to: string;
  options: readonly { amount_micros: string }[];
}

/** The first thing that is wrong with it, in the order of the lines; undefined when nothing is. */
export function paymentProblem(terms: PaymentTerms, payment: Payment, atUs: bigint): PaymentProblem | undefined {
  const nowS = atUs / US_PER_SECOND;
  const { to, value, valid_after, valid_before, from } = payment;
  const aheadS = BigInt(valid_before) - nowS;
  if (to !== terms.pay_to) return { field: 'to', cause: `it pays ${to}, not ${terms.pay_to}` };
  if (from === to) return { field: 'from', cause: 'nobody pays himself' };
  if (!terms.options.some(({ amount_micros }) => amount_micros === value))
    return { field: 'value', cause: `${value} is not one of the amounts offered` };
  if (BigInt(valid_after) >= nowS) return { field: 'validAfter', cause: 'it cannot be used yet' };
  if (aheadS < VALID_AHEAD_S_MIN)
    return { field: 'validBefore', cause: `it must be usable for ${VALID_AHEAD_S_MIN} s more` };
  if (aheadS > VALID_AHEAD_S_MAX)
    return { field: 'validBefore', cause: `it must not be usable for longer than ${VALID_AHEAD_S_MAX} s` };
  return undefined;
}
