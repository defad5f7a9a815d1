/**
 * What became of a transaction that was signed.
 * Promise: final and failed only by a receipt out of a block that stands deep enough; displaced only by the transaction that took its place.
 */
import type { Chain, MinedTransaction } from '@tallystick/engine/adapters/chain';
import type { Broadcast } from '@tallystick/treasury';
import type { Address, Hex } from 'viem';

/** `mined`: not deep enough yet; `unmined`: in no block; `lost`: its nonce is used up and the chain does not say by what. */
export type Fate =
  | { is: 'over'; hash: Hex; mined: MinedTransaction }
  | { is: 'displaced'; by: Hex }
  | { is: 'mined' | 'unmined' | 'lost' };

/** How far the chain has come, as of one look. */
export interface ChainView {
  /** The newest block. */
  newest: bigint;
  /** The newest block that is deep enough. */
  finalBlock: bigint;
  /** Transactions taken from the key up to the one and to the other. */
  taken: bigint;
  takenFinally: bigint;
}

export async function fateOf(chain: Chain, broadcast: Broadcast, view: ChainView): Promise<Fate> {
  const { newest, finalBlock, takenFinally } = view;
  for (const { hash } of broadcast.attempts.toReversed()) {
    const mined = await chain.receiptOf(hash as Hex, newest);
    if (!mined) continue;
    if (mined.block.number > finalBlock) return { is: 'mined' };
    const header = await chain.header(mined.block.number);
    return header?.hash === mined.block.hash ? { is: 'over', hash: hash as Hex, mined } : { is: 'mined' };
  }
  const nonce = BigInt(broadcast.nonce);
  if (takenFinally <= nonce) return { is: 'unmined' };
  const by = await chain.nonceTaker(broadcast.signer as Address, nonce, finalBlock);
  if (by === undefined || broadcast.attempts.some(({ hash }) => hash === by)) return { is: 'lost' };
  return { is: 'displaced', by };
}
