/**
 * What a person does about a payment that was refused.
 * Promise: allowing is for this call and this amount; signed at once, the wallet is not needed where the call is repeated.
 */
import { readPaymentOption, refuseHere } from '@tallystick/surface/client';
import type { Signer } from '../wallet.ts';
import { type IntentStore, isSpent, type PaymentIntent } from './intents.ts';
import { refuseUnresolved } from './limits.ts';
import { signedIntent } from './sign.ts';

/** Whether the offer can still be taken, as far as the clock here knows. */
export const isOfferOpen = ({ expires_at_ms }: PaymentIntent, nowMs: number): boolean => nowMs < expires_at_ms;

/**
 * Allows it. While the offer stands it is signed too; later the repeated call is offered anew, and may take that up to this amount.
 * @errors ApiError `not_found`, `payment_unresolved`; `payment_declined` and `payment_offer_invalid` as signing does
 */
export async function approvePayment(
  intents: IntentStore,
  id: string,
  signer: Signer,
  nowMs: () => number = Date.now,
): Promise<PaymentIntent> {
  return intents.change(async (all) => {
    const intent = all.find((one) => one.id === id);
    if (!intent) throw refuseHere('NOT_FOUND');
    if (isSpent(intent)) return { put: [], answer: intent };
    refuseUnresolved(
      all.filter(({ key }) => key === intent.key),
      new Set([intent.nonce]),
      nowMs(),
    );
    const approved: PaymentIntent = {
      ...intent,
      status: 'approved',
      approved_micros: intent.amount_micros,
      cause: '',
      at_ms: nowMs(),
    };
    const answer = isOfferOpen(intent, nowMs())
      ? await signedIntent(approved, readPaymentOption(intent.offer), signer, nowMs())
      : approved;
    return { put: [answer], answer };
  });
}
