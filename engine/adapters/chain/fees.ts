/**
 * What a transaction offers for being mined (EIP-1559).
 * Promise: never more than the caps, whatever an endpoint says, and no more for the builder than most of them say; a replacement offers
 * enough more to be taken for one.
 */
import type { PublicClient } from 'viem';
import { agreed, ChainFault, commonHead, reached } from './endpoints.ts';

export interface Fees {
  /** Of one unit of gas, in wei. */
  maxFeeWei: bigint;
  /** What of it goes to whoever builds the block. */
  priorityWei: bigint;
}

const GWEI = 1_000_000_000n;
/** No transaction offers more for a unit of gas. */
export const FEE_WEI_MAX = 500n * GWEI;
export const PRIORITY_WEI_MAX = 20n * GWEI;
/** The base fee rises by an eighth in a block at most: twice of it lasts for six full ones. */
const BASE_FEE_TIMES = 2n;
/** Nodes take a replacement that offers a tenth more of both; an eighth is known to pass everywhere, a quarter is sure. */
const BUMP_QUARTERS = 5n;
const QUARTERS = 4n;

/**
 * The base fee stands in a block, so endpoints must agree in it; what goes to the builder is an opinion, of which the middle one counts.
 * @errors rejects with ChainFault; `misconfigured` on a chain without EIP-1559
 */
export async function suggestedFees(clients: PublicClient[], priorityWeiMax = PRIORITY_WEI_MAX): Promise<Fees> {
  const [base, ...opinions] = await Promise.all([
    baseFee(clients),
    ...clients.map((client) => reached(() => client.estimateMaxPriorityFeePerGas())),
  ]);
  const priorityWei = least(least(PRIORITY_WEI_MAX, priorityWeiMax), middleOf(opinions));
  return { maxFeeWei: least(FEE_WEI_MAX, base * BASE_FEE_TIMES + priorityWei), priorityWei };
}

async function baseFee(clients: PublicClient[]): Promise<bigint> {
  const { number: blockNumber } = await commonHead(clients);
  const base = await agreed(clients, `base fee of block ${blockNumber}`, async (client) =>
    client.getBlock({ blockNumber }).then(({ baseFeePerGas }) => baseFeePerGas),
  );
  if (base === null) throw new ChainFault('misconfigured', 'the chain has no base fee (EIP-1559)');
  return base;
}

/** The lower one of two: what is too little is replaced by a dearer one. */
const middleOf = (values: readonly bigint[]): bigint =>
  [...values].sort((a, b) => (a < b ? -1 : 1))[Math.floor((values.length - 1) / 2)]!;

/** A quarter more than before, or what is asked now if that is more; undefined when the cap leaves no room. */
export function bumpedFees(before: Fees, now: Fees): Fees | undefined {
  const [maxFeeWei, priorityWei] = [
    greater(raised(before.maxFeeWei), now.maxFeeWei),
    greater(raised(before.priorityWei), now.priorityWei),
  ];
  if (maxFeeWei > FEE_WEI_MAX) return undefined;
  return { maxFeeWei, priorityWei: least(priorityWei, maxFeeWei) };
}

/** Always more, also than nothing. */
const raised = (wei: bigint): bigint => (wei * BUMP_QUARTERS) / QUARTERS + 1n;
const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const greater = (a: bigint, b: bigint): bigint => (a > b ? a : b);
