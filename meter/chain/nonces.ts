/**
 * The next nonce of a key, from what the log says was used and what the chain has taken.
 * Promise: never one that the log says is used; a key that was used elsewhere is followed once that is final, not before, and the
 * treasury's only when it is proven that no money left by it: a database that was restored has forgotten what it paid.
 */
import { randomUUID } from 'node:crypto';
import { type Engine, readBalances, readStream } from '@tallystick/engine';
import { type Chain, ChainFault, type SignerRole } from '@tallystick/engine/adapters/chain';
import { nonceAccount } from '@tallystick/kernel';
import { type RailState, railStream, type SignerState, signerStream } from '@tallystick/treasury';
import type { Address } from 'viem';

/** So many transactions of one key wait to be mined at most: nodes forget longer lines. */
export const IN_FLIGHT_MAX = 32n;
const STRIDE_FIRST = 16n;

export interface NonceOptions {
  engine: Engine;
  chain: Chain;
  address: Address;
  role: SignerRole;
  confirmations: number;
  /** The treasury's key was used by nobody knows whom, and nothing is signed with it. */
  onUnknown: (nonces: { first: bigint; taken: bigint }) => void;
}

/** All nonces below were taken by that block. */
interface Taken {
  nonce: bigint;
  block: bigint;
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
  const final = { nonce: takenFinally, block: finalBlock };
  const from = await openedAt(options, final);
  if (from === undefined) {
    options.onUnknown({ first: 0n, taken });
    return undefined;
  }
  const nonce = await firstUnused(options, from);
  if (nonce >= taken) return { nonce, taken };
  if (nonce >= takenFinally) return undefined;
  const past = await provenPast(options, final);
  if (!past || past.nonce <= nonce) {
    options.onUnknown({ first: nonce, taken });
    return undefined;
  }
  if (!(await moveTo(options, past))) return undefined;
  return past.nonce === taken ? { nonce: taken, taken } : undefined;
}

/** Of the treasury's key, what the last look at the reserves has seen, if all was there. */
async function provenPast({ engine, chain, address, role }: NonceOptions, final: Taken): Promise<Taken | undefined> {
  if (role !== 'treasury') return final;
  const rail = (await readStream(engine, railStream(chain.key)))?.state as RailState | undefined;
  const { is_equal, block, block_hash } = rail?.reserves ?? { is_equal: false, block: '0', block_hash: '' };
  if (!is_equal || (await chain.header(BigInt(block)))?.hash !== block_hash) return undefined;
  if (BigInt(block) >= final.block) return { nonce: final.nonce, block: final.block };
  const nonce = await chain.transactionCount(address, BigInt(block)).catch((fault: unknown) => {
    if (fault instanceof ChainFault) return undefined; // an endpoint that knows no such old block: the next record is younger
    throw fault;
  });
  return nonce === undefined ? undefined : { nonce, block: BigInt(block) };
}

/** Undefined when it cannot begin yet. */
async function openedAt(options: NonceOptions, final: Taken): Promise<bigint | undefined> {
  const { engine, chain, address } = options;
  const stream = signerStream(chain.key, address);
  const read = async () => (await readStream(engine, stream))?.state as SignerState | undefined;
  const known = await read();
  if (known?.status === 'open') return BigInt(known.from_nonce);
  const past = final.nonce === 0n ? final : await provenPast(options, final);
  if (!past) return undefined;
  const body = { rail: chain.key, address, from_nonce: String(past.nonce), block: String(past.block) };
  const key = `open:${stream}:${randomUUID()}`; // what was refused may be right the next time
  await engine.execute({ principal: 'platform', key, stream, type: 'OpenSigner', body });
  const opened = await read();
  return opened?.status === 'open' ? BigInt(opened.from_nonce) : undefined;
}

async function moveTo({ engine, chain, address }: NonceOptions, { nonce, block }: Taken): Promise<boolean> {
  const stream = signerStream(chain.key, address);
  const body = { rail: chain.key, from_nonce: String(nonce), block: String(block) };
  const key = `move:${stream}:${randomUUID()}`; // what was refused may be right the next time
  const { rejection } = await engine.execute({ principal: 'platform', key, stream, type: 'MoveSigner', body });
  return rejection === undefined;
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
