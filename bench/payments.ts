/**
 * `npm run bench -- payments`: what payments on a chain take, from the chain's start to the last withdrawal.
 * Promise: a real chain, the meter program that ships, and counts that are checked; figures of parts stand beside each other.
 */
import { chainStarts, chainWork, type Part } from './load/chain-parts.ts';
import { paidRetries } from './load/paid-retry.ts';
import type { BenchResult } from './run.ts';

const PARTS: readonly (() => Promise<Part>)[] = [chainStarts, chainWork, paidRetries];

export async function run(): Promise<BenchResult> {
  const result: BenchResult = { name: 'payments', figures: {}, table: [] };
  for (const part of PARTS) {
    const { figures, table } = await part();
    Object.assign(result.figures, figures);
    result.table = [...result.table, ...table];
  }
  return result;
}
