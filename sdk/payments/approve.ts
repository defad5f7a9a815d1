/**
 * What a person does about a payment that was refused.
 * Promise: allowing is for this call and this amount; signed at once, the wallet is not needed where the call is repeated.
 */
import { type PaymentOption, readPaymentOption, refuseHere } from '@tallystick/surface/client';
import type { Signer } from '../wallet.ts';
import { isSameCall } from './call.ts';
import { type Holds, lackOf } from './cover.ts';
import { type IntentStore, isSpent, type PaymentIntent } from './intents.ts';
import { refuseUnresolved } from './limits.ts';
import { signedIntent } from './sign.ts';

/** Whether the offer can still be taken, as far as the clock here knows. */
export const isOfferOpen = ({ expires_at_ms }: PaymentIntent, nowMs: number): boolean => nowMs < expires_at_ms;

export interface ApproveOptions {
  /** Less than is asked, and nothing is signed or allowed. */
  holds?: Holds | undefined;
  nowMs?: () => number;
}

/**
 * Allows it. While the offer stands it is signed too; later the repeated call is offered anew, and may take that up to this amount.
 * @errors ApiError `not_found`, `payment_unresolved`; `payment_declined` and `payment_offer_invalid` as signing does
 */
export async function approvePayment(
  intents: IntentStore,
  id: string,
  signer: Signer,
  { holds, nowMs = Date.now }: ApproveOptions = {},
): Promise<PaymentIntent> {
  return intents.change(async (all) => {
    const intent = all.find((one) => one.id === id);
    if (!intent) throw refuseHere('NOT_FOUND');
    if (isSpent(intent)) return { put: [], answer: intent };
    refuseUnresolved(
      all.filter((one) => isSameCall(one, intent)),
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
    if (!isOfferOpen(intent, nowMs())) return { put: [approved], answer: approved };
    const option = readPaymentOption(intent.offer);
    await assertCovered(holds, intent, signer, option);
    const answer = await signedIntent(approved, option, signer, nowMs());
    return { put: [answer], answer };
  });
}

/** @errors throws ApiError `payment_declined` */
async function assertCovered(
  holds: Holds | undefined,
  { id, key }: PaymentIntent,
  { address }: Signer,
  option: PaymentOption,
): Promise<void> {
  const cause = await lackOf(holds, address, option);
  if (cause === undefined) return;
  const facts = { asked_micros: Number(option.amountMicros), payment_id: id, idempotency_key: key, cause };
  throw refuseHere('PAYMENT_DECLINED', {
    facts,
    suggestion: `Nothing was signed or allowed. When it is there, allow ${id} again.`,
  });
}
