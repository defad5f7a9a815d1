/**
 * From an offer to a payment that can be sent.
 * Promise: it is good for this token, this payee, this amount and this nonce, once, and for a bounded time.
 */
import { checksumAddress } from '@tallystick/kernel';
import {
  type PaidAuthorization,
  type PaymentOption,
  refuseHere,
  writePaymentSignature,
} from '@tallystick/surface/client';
import type { Signer } from '../wallet.ts';
import type { PaymentIntent } from './intents.ts';

const EIP155 = /^eip155:([1-9][0-9]{0,15})$/;
const ADDRESS = /^0x[0-9a-fA-F]{40}$/;
const MS_PER_S = 1_000;

/**
 * @param nowMs the payment can be used until `maxTimeoutS` after it
 * @errors throws ApiError `payment_offer_invalid`, or `payment_declined` for a wallet that signs no payments
 */
export async function signedIntent(
  intent: PaymentIntent,
  option: PaymentOption,
  signer: Signer,
  nowMs: number,
): Promise<PaymentIntent> {
  if (!signer.signTransferAuthorization)
    throw refuseHere('PAYMENT_DECLINED', { facts: { cause: 'this wallet signs no payments' } });
  const validBeforeS = Math.floor(nowMs / MS_PER_S) + option.maxTimeoutS;
  const authorization: PaidAuthorization = {
    from: signer.address,
    to: addressOf(option.payTo, 'payTo'),
    value: String(option.amountMicros),
    validAfter: '0',
    validBefore: String(validBeforeS),
    nonce: intent.nonce,
  };
  const signature = await signer.signTransferAuthorization(domainOf(option), {
    from: authorization.from,
    to: authorization.to,
    value: option.amountMicros,
    validAfter: 0n,
    validBefore: BigInt(validBeforeS),
    nonce: intent.nonce,
  });
  const header = writePaymentSignature(option, { signature, authorization });
  const signed = { header, from: signer.address, valid_before_s: validBeforeS, at_ms: nowMs, cause: '' };
  return { ...intent, status: 'signed', offer: {}, approved_micros: '0', ...signed };
}

function domainOf({ network, asset, extra }: PaymentOption) {
  const chainId = EIP155.exec(network)?.[1];
  if (chainId === undefined) throw invalid(`network ${network} is no EVM chain`);
  const { name, version } = extra;
  if (typeof name !== 'string' || typeof version !== 'string')
    throw invalid('the token’s name and version are not told');
  return { name, version, chainId: BigInt(chainId), verifyingContract: addressOf(asset, 'asset') };
}

function addressOf(text: string, what: string): string {
  if (!ADDRESS.test(text)) throw invalid(`${what} is no address`);
  return checksumAddress(text);
}

const invalid = (cause: string): Error => refuseHere('PAYMENT_OFFER_INVALID', { facts: { cause } });
