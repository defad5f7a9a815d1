/**
 * Whether the treasury's address holds what it is to pay out.
 * Promise: what is signed counts as gone, so that several payouts never count on the same dollars.
 */
import { type Engine, PAGE_MAX, streamsOfStatus } from '@tallystick/engine';
import type { Chain } from '@tallystick/engine/adapters/chain';
import type { WithdrawalState } from '@tallystick/treasury';

/** What the treasury's address holds beyond what is signed, in micros; below zero when it is too little. */
export async function spareMicros(engine: Engine, chain: Chain): Promise<bigint> {
  const signed = await payouts(engine, chain, 'signed'); // asked first: what is mined meanwhile counts twice, never not at all
  return (await chain.balanceOf(chain.config.treasury)) - sum(signed);
}

/** How much must be gathered before everything that waits can be paid; zero when there is enough. */
export async function shortMicros(engine: Engine, chain: Chain): Promise<bigint> {
  const held = sum(await payouts(engine, chain, 'held'));
  if (held === 0n) return 0n;
  const spare = await spareMicros(engine, chain);
  return held > spare ? held - spare : 0n;
}

const sum = (all: readonly WithdrawalState[]): bigint =>
  all.reduce((total, { amount_micros }) => total + BigInt(amount_micros), 0n);

async function payouts(engine: Engine, chain: Chain, status: 'held' | 'signed'): Promise<WithdrawalState[]> {
  const rows = await streamsOfStatus(engine, { kind: 'withdrawal', status, limit: PAGE_MAX });
  return rows.map(({ state }) => state as unknown as WithdrawalState).filter(({ rail }) => rail === chain.key);
}
