/**
 * Hands of payers by ERC-3009, and of strangers who are quicker than the relayer.
 * Promise: what is signed here is what wallets sign; what is carried is a real transaction.
 */
import { type Hex, type PrivateKeyAccount, parseAbi, parseSignature } from 'viem';
import { type Authorization, CALLS_ABI } from './calls.ts';
import type { TestChain } from './testing.ts';
import { TRANSFER_TYPES } from './transfer-types.ts';

const CANCEL_ABI = parseAbi([
  'function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)',
]);
const CANCEL_TYPES = {
  CancelAuthorization: [
    { name: 'authorizer', type: 'address' },
    { name: 'nonce', type: 'bytes32' },
  ],
} as const;

export type PaymentTerms = Pick<Authorization, 'value' | 'validBefore' | 'nonce'> & Partial<Authorization>;

const domainOf = ({ chain, config }: TestChain) => ({
  name: config.tokenName,
  version: config.tokenVersion,
  chainId: chain.chainId,
  verifyingContract: config.token,
});

/** From the key to the treasury, usable at once, unless told otherwise. */
export async function signAuthorization(
  given: TestChain,
  key: PrivateKeyAccount,
  terms: PaymentTerms,
): Promise<Authorization> {
  const message = { from: key.address, to: given.config.treasury, validAfter: 0n, ...terms };
  const signature = await key.signTypedData({
    domain: domainOf(given),
    types: TRANSFER_TYPES,
    primaryType: 'TransferWithAuthorization',
    message,
  });
  return { ...message, signature, ...terms };
}

/** Somebody carries it who has nothing to do with it. @errors rejects when the token does not take it */
export async function carryAuthorization(given: TestChain, payment: Authorization): Promise<Hex> {
  const { from, to, value, validAfter, validBefore, nonce, signature } = payment;
  const args = [from, to, value, validAfter, validBefore, nonce, signature] as const;
  const call = { address: given.config.token, abi: CALLS_ABI, functionName: 'transferWithAuthorization', args };
  return given.write(await given.wallet(0n), call as unknown as Parameters<TestChain['write']>[1]);
}

/** Its payer takes it back: the token says that it was used, and moves nothing. @errors rejects when it was used before */
export async function cancelAuthorization(given: TestChain, key: PrivateKeyAccount, nonce: Hex): Promise<Hex> {
  const signature = await key.signTypedData({
    domain: domainOf(given),
    types: CANCEL_TYPES,
    primaryType: 'CancelAuthorization',
    message: { authorizer: key.address, nonce },
  });
  const { r, s, yParity } = parseSignature(signature);
  const args = [key.address, nonce, yParity + 27, r, s] as const;
  const call = { address: given.config.token, abi: CANCEL_ABI, functionName: 'cancelAuthorization', args };
  return given.write(await given.wallet(0n), call as unknown as Parameters<TestChain['write']>[1]);
}
