/**
 * Signatures of payments by ERC-3009: of a key, or of a contract that stands on the chain.
 * Promise: tells whose key signed, and what a token is to be asked; only the token's own rehearsal says whether it takes a payment.
 */
import { recoverTransferAuthorization } from '@tallystick/kernel';
import { type Hex, isErc6492Signature, parseErc6492Signature } from 'viem';
import type { Authorization } from './calls.ts';
import type { Chain } from './chain.ts';

/** The token names and counts itself so. */
const domainOf = ({ config, chainId }: Chain) => ({
  name: config.tokenName,
  version: config.tokenVersion,
  chainId: BigInt(chainId),
  verifyingContract: config.token,
});

/** Whether the key of `from` signed it; false for every contract wallet. */
export function isSignedByKey(chain: Chain, { signature, ...message }: Authorization): boolean {
  const signer = recoverTransferAuthorization(domainOf(chain), message, signature);
  return signer?.toLowerCase() === message.from.toLowerCase();
}

/** What a contract wallet is asked about: for one that stands on the chain, without what would make it (ERC-6492). */
export function bareSignature(signature: Hex): Hex {
  if (!isErc6492Signature(signature)) return signature;
  try {
    return parseErc6492Signature(signature).signature;
  } catch {
    return signature;
  }
}
