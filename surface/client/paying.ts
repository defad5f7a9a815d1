/**
 * A call that may have to be paid first.
 * Promise: the request that is repeated is the same one under the same key; while a payment is on its way nothing is paid again.
 */
import { ApiError } from './api-error.ts';
import {
  PAYMENT_REQUIRED_HEADER,
  PAYMENT_RESPONSE_HEADER,
  type Payment,
  type PaymentRequired,
  readPaymentRequired,
  readPaymentResponse,
} from './payment.ts';
import { pauseMs } from './retry.ts';

/** Payments of one call: prices and balances move while a payment is on its way, but not for ever. */
export const PAYMENTS_MAX = 3;
/** How long a payment that is on its way is waited for. Afterwards a repeat with the same key goes on waiting. */
export const SETTLE_MS_MAX = 180_000;
const SETTLE_WAIT_MS_MIN = 50;
const SETTLE_WAIT_MS_MAX = 10_000;
const SETTLE_WAIT_MS_USUAL = 1_000;

/** The call that is to be paid. */
export interface PaidCall {
  idempotencyKey: string;
  method: string;
  url: string;
  signal: AbortSignal | undefined;
}

/** Whoever decides about payments, and signs them. */
export interface Payer {
  /**
   * The PAYMENT-SIGNATURE header for one of the options. Asked again for the same offer it answers the same.
   * @errors ApiError for what shall not be paid
   */
  pay(required: PaymentRequired, call: PaidCall): Promise<string>;
  /** The platform carries the payment of this call. */
  accepted?(call: PaidCall): Promise<void>;
  /** The platform took the payment of this call. */
  settled?(payment: Payment, call: PaidCall): Promise<void>;
}

export interface PayingOptions extends PaidCall {
  payer: Payer | undefined;
  /** Sends the request, from now on with this PAYMENT-SIGNATURE. */
  carry(header: string): void;
  /** Whether a payment on its way is waited for. */
  isFollowed: boolean;
}

/** @errors throws what `call` throws, and what the payer throws */
export async function withPayments<T>(call: () => Promise<T>, options: PayingOptions): Promise<T> {
  const giveUpAtMs = performance.now() + SETTLE_MS_MAX;
  let isAccepted = false;
  for (let payments = 0; ; ) {
    try {
      return await call();
    } catch (fault) {
      if (!(fault instanceof ApiError)) throw fault;
      if (isSettling(fault)) {
        if (!isAccepted) await options.payer?.accepted?.(options).catch(() => undefined);
        isAccepted = true;
        if (!options.isFollowed || performance.now() >= giveUpAtMs) throw fault;
        await pauseMs(settleWaitMs(fault), options.signal);
        continue;
      }
      const offer = fault.status === 402 ? fault.headers?.get(PAYMENT_REQUIRED_HEADER) : undefined;
      if (!offer || !options.payer || payments === PAYMENTS_MAX) throw fault;
      isAccepted = false;
      payments += 1;
      await noteTaken(fault, options);
      const required = readPaymentRequired(offer, fault.problem['expires_at']);
      options.carry(await options.payer.pay(required, options));
    }
  }
}

/** An earlier payment was taken and is too little by now. */
async function noteTaken({ headers }: ApiError, options: PayingOptions): Promise<void> {
  const taken = readPaymentResponse(headers?.get(PAYMENT_RESPONSE_HEADER) ?? null, options.idempotencyKey);
  if (taken) await options.payer?.settled?.(taken, options);
}

export const isSettling = ({ code }: ApiError): boolean => code === 'payment_settling';

function settleWaitMs({ retryAfterMs = SETTLE_WAIT_MS_USUAL }: ApiError): number {
  return Math.min(Math.max(retryAfterMs, SETTLE_WAIT_MS_MIN), SETTLE_WAIT_MS_MAX);
}
