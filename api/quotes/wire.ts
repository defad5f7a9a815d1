/**
 * x402 v2 in HTTP headers: what can be paid, what was paid, what a payer sent.
 * Promise: a header is read strictly and within limits; what is wrong with it is named, and nothing of it was used.
 * @source x402 v2, scheme `exact` on EVM chains by ERC-3009
 */
import { type Json, type JsonObject, jcs, parseStrict } from '@tallystick/kernel';
import { refuse } from '@tallystick/surface';
import type { Payment, QuoteOption, QuoteState } from '@tallystick/treasury';

const X402_VERSION = 2;
const SCHEME = 'exact';
/** Stock payers sign an authorization that is usable for so long. */
const TIMEOUT_S = 300;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
const ADDRESS = /^0x[0-9a-fA-F]{40}$/;
const NONCE = /^0x[0-9a-fA-F]{64}$/;
const AMOUNT = /^(?:0|[1-9][0-9]{0,15})$/;
const SECONDS = /^(?:0|[1-9][0-9]{0,11})$/;
const SIGNATURE = /^0x(?:[0-9a-fA-F]{2}){65,2048}$/;

/** What the token says of itself; payers sign it. */
export interface TokenNames {
  tokenName: string;
  tokenVersion: string;
}

const encoded = (value: Json): string => Buffer.from(JSON.stringify(value)).toString('base64');

/** One way to pay, of which a payer sends back what it chose. */
export const requirementOf = (quote: QuoteState, option: QuoteOption, { tokenName, tokenVersion }: TokenNames) => ({
  scheme: SCHEME,
  network: quote.network,
  asset: quote.token,
  amount: option.amount_micros,
  payTo: quote.pay_to,
  maxTimeoutSeconds: TIMEOUT_S,
  extra: {
    name: tokenName,
    version: tokenVersion,
    quoteId: quote.id,
    authNonce: quote.auth_nonce,
    creditAccount: quote.principal,
    label: option.label,
  },
});

/** The value of the header PAYMENT-REQUIRED. */
export const paymentRequired = (quote: QuoteState, names: TokenNames, url: string): string =>
  encoded({
    x402Version: X402_VERSION,
    error: 'insufficient_funds',
    resource: { url, description: 'Credited to the account of the API key', mimeType: 'application/json' },
    accepts: quote.options.map((option) => requirementOf(quote, option, names)),
  });

/** A payment that is in the account. */
export interface PaymentDone {
  transaction: string;
  network: string;
  payer: string;
  /** Micros. */
  amount: string;
}

/** The value of the header PAYMENT-RESPONSE. */
export const paymentResponse = (done: PaymentDone): string => encoded({ success: true, ...done });

export const invalid = (field: string, cause: string): Error => refuse('PAYMENT_INVALID', { field, cause });

export interface SentPayment {
  accepted: JsonObject;
  payment: Payment;
}

/** Reads the header PAYMENT-SIGNATURE. @errors throws PAYMENT_INVALID naming the member that is wrong */
export function readPayment(header: string): SentPayment {
  const sent = objectIn(jsonOf(header), 'payment-signature');
  if (sent['x402Version'] !== X402_VERSION) throw invalid('x402Version', `it must be ${X402_VERSION}`);
  const accepted = objectIn(sent['accepted'], 'accepted');
  const payload = objectIn(sent['payload'], 'payload');
  const authorization = objectIn(payload['authorization'], 'authorization');
  const of = (name: string, shape: RegExp): string => textOf(authorization[name], name, shape);
  return {
    accepted,
    payment: {
      from: of('from', ADDRESS).toLowerCase(),
      to: of('to', ADDRESS).toLowerCase(),
      value: of('value', AMOUNT),
      valid_after: of('validAfter', SECONDS),
      valid_before: of('validBefore', SECONDS),
      nonce: of('nonce', NONCE).toLowerCase(),
      signature: textOf(payload['signature'], 'signature', SIGNATURE).toLowerCase(),
    },
  };
}

function jsonOf(header: string): Json {
  if (!BASE64.test(header)) throw invalid('payment-signature', 'it is not base64');
  try {
    return parseStrict(Buffer.from(header, 'base64'));
  } catch {
    throw invalid('payment-signature', 'it is not JSON in base64');
  }
}

function objectIn(value: Json | undefined, name: string): JsonObject {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw invalid(name, 'it is missing');
  return value as JsonObject;
}

function textOf(value: Json | undefined, name: string, shape: RegExp): string {
  if (typeof value !== 'string' || !shape.test(value)) throw invalid(name, 'it is missing or does not look like one');
  return value;
}

/** @errors throws PAYMENT_INVALID unless it is one of the offer's own ways to pay, and its authorization pays that amount */
export function assertAccepted(quote: QuoteState, { accepted, payment }: SentPayment, names: TokenNames): void {
  const extra = objectIn(accepted['extra'], 'accepted.extra');
  if (extra['quoteId'] !== quote.id) throw invalid('accepted.extra.quoteId', 'it is the quote of another request');
  const chosen = quote.options.find(({ amount_micros }) => amount_micros === accepted['amount']);
  if (!chosen) throw invalid('accepted.amount', 'it is not one of the amounts offered');
  const offered: Record<string, Json> = requirementOf(quote, chosen, names);
  for (const [name, value] of Object.entries(offered))
    if (spelled(accepted[name]) !== spelled(value)) throw invalid(`accepted.${name}`, 'it is not what was offered');
  if (payment.value !== chosen.amount_micros) throw invalid('value', 'it is not the amount accepted');
}

/** Addresses and nonces are the same in any case. */
const spelled = (value: Json | undefined): string => jcs(value ?? null).toLowerCase();
