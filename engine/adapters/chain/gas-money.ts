/**
 * How far a key's money for gas goes.
 * Promise: told in settlements at today's price, so that a number means the same on every chain.
 */
import type { Address } from 'viem';
import { SETTLEMENT_GAS } from './calls.ts';
import type { ChainSender } from './sender.ts';

/** How many payments it could carry to the chain at what they cost now. @errors rejects with ChainFault */
export async function affordableSettlements(
  chain: Pick<ChainSender, 'nativeBalance' | 'fees'>,
  address: Address,
): Promise<bigint> {
  const [balanceWei, { maxFeeWei }] = await Promise.all([chain.nativeBalance(address), chain.fees()]);
  const eachWei = SETTLEMENT_GAS * maxFeeWei;
  return eachWei === 0n ? BigInt(Number.MAX_SAFE_INTEGER) : balanceWei / eachWei;
}
