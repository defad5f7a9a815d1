/**
 * What the chain side of payments takes: a chain's start, catching up with one, and paying out through one key.
 * Promise: every credited deposit and every final withdrawal is counted in the ledger and on the chain; a wrong count fails the run.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Engine, PAGE_MAX, readBalances, streamsOfStatus } from '@tallystick/engine';
import { startTestChain } from '@tallystick/engine/adapters/chain/testing';
import { dayOf, monthOf, standingStream, userAccount } from '@tallystick/kernel';
import { railStream } from '@tallystick/treasury';
import type { BenchResult } from '../run.ts';
import { type ChainMeter, startChainMeter } from './chain-meter.ts';
import { median } from './measure.ts';

export type Part = Pick<BenchResult, 'figures' | 'table'>;

const MS_PER_S = 1_000;
const STARTS = 5;
const BLOCKS = 5_000;
const DEPOSITS = 200;
const DEPOSIT_MICROS = 50_000n;
const WITHDRAWALS = 200;
const CENT_MICROS = 10_000n;
const LOOK_MS = 5;
const WAIT_MS_MAX = 60_000;

/** The chain with its token, factory and endpoint, from nothing: the first of this process, and later ones. */
export async function chainStarts(): Promise<Part> {
  const tookMs: number[] = [];
  for (let n = 0; n <= STARTS; n++) {
    const beforeMs = performance.now();
    await using _chain = await startTestChain();
    tookMs.push(performance.now() - beforeMs);
  }
  const [first, ...later] = tookMs as [number, ...number[]];
  return {
    figures: { chain_start_ms: first, chain_start_warm_ms: median(later) },
    table: [
      { what: 'chain from nothing, first and later', figure: `${first.toFixed(0)} ms, ${median(later).toFixed(0)} ms` },
    ],
  };
}

/** Both on one meter: blocks that it has not seen, then withdrawals that are asked for at once. */
export async function chainWork(): Promise<Part> {
  await using meter = await startChainMeter();
  const payer = await meter.test.wallet(DEPOSIT_MICROS * BigInt(DEPOSITS));
  const principal = `eip155:${meter.chain.chainId}:${payer.address.toLowerCase()}`;
  await meter.ask(`account:${principal}`, 'OpenAccount', {});
  const trust = { tier: 'trusted', by: 'bench', reason: 'so many withdrawals at once' };
  await meter.ask(standingStream(principal), 'SetTier', trust);
  const goOn = meter.hold();
  for (let n = 0; n < DEPOSITS; n++) {
    await meter.test.pay(payer, meter.treasury, DEPOSIT_MICROS);
    await meter.test.mine(BLOCKS / DEPOSITS - 1);
  }
  goOn();
  const caughtUpMs = await timeUntil(async () => {
    const [row] = await readBalances(meter.engine, [userAccount(principal)]);
    return row?.creditsPostedMicros === DEPOSIT_MICROS * BigInt(DEPOSITS);
  });
  const paidMs = await payOut(meter, { principal, to: payer.address.toLowerCase() });
  const [blocks, paid] = [(BLOCKS / caughtUpMs) * MS_PER_S, (WITHDRAWALS / paidMs) * MS_PER_S];
  return {
    figures: { blocks_per_s: blocks, withdrawals_per_s: paid },
    table: [
      { what: `catch-up of ${BLOCKS} blocks with ${DEPOSITS} deposits`, figure: `${blocks.toFixed(0)} blocks/s` },
      { what: `${WITHDRAWALS} withdrawals through one key, to the last receipt`, figure: `${paid.toFixed(0)}/s` },
    ],
  };
}

async function payOut({ engine, chain, ask }: ChainMeter, whom: { principal: string; to: string }): Promise<number> {
  const before = await chain.balanceOf(whom.to as `0x${string}`);
  const ids = Array.from({ length: WITHDRAWALS }, (_, n) => `wdr_${String(n).padStart(32, '0')}`);
  const when = { month: monthOf(engine.nowUs()), day: dayOf(engine.nowUs()) };
  const body = { rail: chain.key, to: whom.to, amount_micros: String(CENT_MICROS), ...when };
  const startMs = performance.now();
  await Promise.all(ids.map((id) => ask(`withdrawal:${id}`, 'RequestWithdrawal', body, whom.principal)));
  await timeUntil(async () => (await finalWithdrawals(engine)) === WITHDRAWALS);
  const tookMs = performance.now() - startMs;
  const paid = (await chain.balanceOf(whom.to as `0x${string}`)) - before;
  if (paid !== CENT_MICROS * BigInt(WITHDRAWALS))
    throw new Error(`${paid} micros were paid out over ${railStream(chain.key)}`);
  return tookMs;
}

const finalWithdrawals = async (engine: Engine): Promise<number> =>
  (await streamsOfStatus(engine, { kind: 'withdrawal', status: 'final', limit: PAGE_MAX })).length;

/** @errors throws after a minute */
async function timeUntil(isTrue: () => Promise<boolean>): Promise<number> {
  const startMs = performance.now();
  while (!(await isTrue())) {
    if (performance.now() - startMs > WAIT_MS_MAX) throw new Error(`not within ${WAIT_MS_MAX} ms`);
    await sleep(LOOK_MS);
  }
  return performance.now() - startMs;
}
