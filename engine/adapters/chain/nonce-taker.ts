/**
 * Which transaction of an address the chain took under a nonce.
 * Promise: found in a block, never concluded from silence: a node that forgot old receipts must not look like a chain without them.
 */
import { type Address, getAddress, type Hex, type PublicClient } from 'viem';
import { agreed } from './endpoints.ts';

/** Undefined when none was found up to `block`. @errors rejects with ChainFault, also where the state of old blocks is not kept */
export function nonceTaker(
  clients: PublicClient[],
  { address, nonce, block }: { address: Address; nonce: bigint; block: bigint },
): Promise<Hex | undefined> {
  return agreed(clients, `taker of nonce ${nonce}`, async (client) => {
    const countAt = async (blockNumber: bigint): Promise<bigint> =>
      BigInt(await client.getTransactionCount({ address, blockNumber }));
    if ((await countAt(block)) <= nonce) return undefined;
    let [before, at] = [-1n, block]; // taken after the one, at the other at the latest
    while (at - before > 1n) {
      const middle = (at + before) / 2n;
      if ((await countAt(middle)) > nonce) at = middle;
      else before = middle;
    }
    const { transactions } = await client.getBlock({ blockNumber: at, includeTransactions: true });
    const found = transactions.find(
      (one) => getAddress(one.from) === getAddress(address) && BigInt(one.nonce) === nonce,
    );
    return found?.hash;
  });
}
