/**
 * The headers by which a platform asks for a payment and hears of one: x402 v2, scheme `exact`.
 * Promise: what cannot be read is refused, not guessed at; an offer is echoed as the platform wrote it.
 * @source x402 v2: PAYMENT-REQUIRED, PAYMENT-SIGNATURE, PAYMENT-RESPONSE
 */
import type { Json, JsonObject } from '@tallystick/kernel';
import { refuseHere } from './api-error.ts';

export const PAYMENT_REQUIRED_HEADER = 'payment-required';
export const PAYMENT_SIGNATURE_HEADER = 'payment-signature';
export const PAYMENT_RESPONSE_HEADER = 'payment-response';

const X402_VERSION = 2;
const HEADER_CHARS_MAX = 32_768;
const OPTIONS_MAX = 32;
/** An authorization that lives longer than a day is none for a top-up. */
const TIMEOUT_S_MAX = 86_400;
/** More digits are no money that a JSON number can carry. */
const AMOUNT = /^[1-9][0-9]{0,15}$/;

/** One way to pay; whoever pays takes one of them. */
export interface PaymentOption {
  scheme: string;
  /** CAIP-2, such as `eip155:8453`. */
  network: string;
  /** Contract of the token. */
  asset: string;
  payTo: string;
  /** In the token's smallest units: micro-USD. */
  amountMicros: bigint;
  maxTimeoutS: number;
  extra: JsonObject;
  /** As the platform wrote it. */
  written: JsonObject;
}

/** What a platform asks for. */
export interface PaymentRequired {
  error: string;
  options: readonly PaymentOption[];
  /** How long the offer stands, in milliseconds since 1970; undefined when it was not told. */
  expiresAtMs?: number | undefined;
}

/** The ERC-3009 authorization of a payment, numbers as decimal text. */
export interface PaidAuthorization extends JsonObject {
  from: string;
  to: string;
  value: string;
  validAfter: string;
  validBefore: string;
  nonce: string;
}

/** What a platform says of a payment that it took. */
export interface Payment {
  /** Hash of the transaction that carried it. */
  transaction: string;
  network: string;
  payer: string;
  /** Undefined when it was not told. */
  amountMicros: bigint | undefined;
  /** Of the call that it was for. */
  idempotencyKey: string;
}

/**
 * @param expiresAt as the problem beside it tells it
 * @errors ApiError `payment_offer_invalid` naming what is wrong
 */
export function readPaymentRequired(header: string, expiresAt?: Json): PaymentRequired {
  const body = decode(header);
  if (!body) throw unreadable('PAYMENT-REQUIRED is not base64 of a JSON object');
  if (body['x402Version'] !== X402_VERSION) throw unreadable(`x402Version is not ${X402_VERSION}`);
  const accepts = body['accepts'];
  if (!Array.isArray(accepts) || accepts.length === 0) throw unreadable('it accepts nothing');
  if (accepts.length > OPTIONS_MAX) throw unreadable(`it has ${accepts.length} options, the cap is ${OPTIONS_MAX}`);
  const told = Date.parse(textOf(expiresAt));
  const expiresAtMs = Number.isNaN(told) ? undefined : told;
  return { error: textOf(body['error']), options: accepts.map(readPaymentOption), expiresAtMs };
}

export const unreadable = (cause: string): Error => refuseHere('PAYMENT_OFFER_INVALID', { facts: { cause } });

/** One option, as it stands in an offer. @errors ApiError `payment_offer_invalid` */
export function readPaymentOption(written: Json): PaymentOption {
  if (!isObject(written)) throw unreadable('an option is no object');
  const { scheme, network, asset, payTo, amount, maxTimeoutSeconds: maxTimeoutS, extra = {} } = written;
  for (const [name, value] of Object.entries({ scheme, network, asset, payTo }))
    if (typeof value !== 'string' || value === '') throw unreadable(`${name} is no text`);
  if (typeof amount !== 'string' || !AMOUNT.test(amount)) throw unreadable('amount is no decimal text above 0');
  if (typeof maxTimeoutS !== 'number' || !Number.isInteger(maxTimeoutS) || maxTimeoutS < 1)
    throw unreadable('maxTimeoutSeconds is no whole number above 0');
  if (maxTimeoutS > TIMEOUT_S_MAX) throw unreadable(`maxTimeoutSeconds is ${maxTimeoutS}, the cap is ${TIMEOUT_S_MAX}`);
  if (!isObject(extra)) throw unreadable('extra is no object');
  const texts = { scheme: textOf(scheme), network: textOf(network), asset: textOf(asset), payTo: textOf(payTo) };
  return { ...texts, amountMicros: BigInt(amount), maxTimeoutS, extra, written };
}

/** The header of a payment for one of the options. */
export const writePaymentSignature = (
  { written }: PaymentOption,
  payload: { signature: string; authorization: PaidAuthorization },
): string => encode({ x402Version: X402_VERSION, accepted: written, payload });

/** What PAYMENT-RESPONSE says; undefined when there is none, or none that tells of a payment. */
export function readPaymentResponse(header: string | null, idempotencyKey: string): Payment | undefined {
  const body = header === null ? undefined : decode(header);
  if (body?.['success'] !== true) return undefined;
  const { transaction, network, payer, amount } = body;
  return {
    transaction: textOf(transaction),
    network: textOf(network),
    payer: textOf(payer),
    amountMicros: typeof amount === 'string' && AMOUNT.test(amount) ? BigInt(amount) : undefined,
    idempotencyKey,
  };
}

const textOf = (value: Json | undefined): string => (typeof value === 'string' ? value : '');

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Of this runtime and of browsers; UTF-8 inside. */
const encode = (value: JsonObject): string =>
  btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(value))));

function decode(header: string): JsonObject | undefined {
  if (header.length > HEADER_CHARS_MAX) return undefined;
  try {
    const bytes = Uint8Array.from(atob(header), (char) => char.charCodeAt(0));
    const value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as Json;
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
