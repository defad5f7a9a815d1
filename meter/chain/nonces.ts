/**
 * The next nonce of a key, from what the log says was used and what the chain has taken.
 * Promise: never one that the log says is used; a key that was used elsewhere is followed once that is final, not before.
 */
import { type Engine, readBalances, readStream } from '@tallystick/engine';
import type { Chain } from '@tallystick/engine/adapters/chain';
import { nonceAccount } from '@tallystick/kernel';
import { type SignerState, signerStream } from '@tallystick/treasury';
import type { Address } from 'viem';

/** So many transactions of one key wait to be mined at most: nodes forget longer lines. */
export const IN_FLIGHT_MAX = 32n;
const STRIDE_FIRST = 16n;

export interface NonceOptions {
  engine: Engine;
  chain: Chain;
  address: Address;
  confirmations: number;
}

/** The next nonce, and how many transactions of the key the chain has taken. */
export interface NextNonce {
  nonce: bigint;
  taken: bigint;
}

/** Undefined while the key was used elsewhere and that is not final. */
export async function findNextNonce(options: NonceOptions): Promise<NextNonce | undefined> {
  const { chain, address, confirmations } = options;
  const { number: newest } = await chain.head();
  const finalBlock = newest - BigInt(confirmations) + 1n;
  const [taken, takenFinally] = [
    await chain.transactionCount(address, newest),
    finalBlock < 0n ? 0n : await chain.transactionCount(address, finalBlock),
  ];
  const from = await openedAt(options, takenFinally);
  const nonce = await firstUnused(options, from);
  if (nonce >= taken) return { nonce, taken };
  if (nonce >= takenFinally) return undefined;
  await moveTo(options, takenFinally);
  return takenFinally === taken ? { nonce: taken, taken } : undefined;
}

async function openedAt(options: NonceOptions, takenFinally: bigint): Promise<bigint> {
  const { engine, chain, address } = options;
  const stream = signerStream(chain.key, address);
  const read = async () => (await readStream(engine, stream))?.state as SignerState | undefined;
  const known = await read();
  if (known?.status === 'open') return BigInt(known.from_nonce);
  const from_nonce = String(takenFinally);
  const body = { rail: chain.key, address, from_nonce };
  await engine.execute({
    principal: 'platform',
    key: `open:${stream}:${from_nonce}`,
    stream,
    type: 'OpenSigner',
    body,
  });
  return BigInt((await read())!.from_nonce);
}

async function moveTo({ engine, chain, address }: NonceOptions, nonce: bigint): Promise<void> {
  const stream = signerStream(chain.key, address);
  const body = { from_nonce: String(nonce) };
  await engine.execute({ principal: 'platform', key: `move:${stream}:${nonce}`, stream, type: 'MoveSigner', body });
}

/** Used ones have no gap from there on: found by strides that double, then by halves. */
async function firstUnused({ engine, chain, address }: NonceOptions, from: bigint): Promise<bigint> {
  const isUsed = async (nonce: bigint): Promise<boolean> =>
    (await readBalances(engine, [nonceAccount(chain.key, address, String(nonce))])).length > 0;
  if (!(await isUsed(from))) return from;
  let [used, unused] = [from, from + STRIDE_FIRST];
  while (await isUsed(unused)) [used, unused] = [unused, unused + (unused - from) * 2n];
  while (unused - used > 1n) {
    const middle = (used + unused) / 2n;
    if (await isUsed(middle)) used = middle;
    else unused = middle;
  }
  return unused;
}
