/**
 * Payouts through a storm: a crowded chain, meters that carry everything twice and die, and one that lives and makes dearer what waits.
 * Promise: what a test says that its payouts went through is counted where it happened, and too little of it is a failure.
 */
import assert from 'node:assert/strict';
import { type Engine, readStream } from '@tallystick/engine';
import type { Chain } from '@tallystick/engine/adapters/chain';
import type { TestChain } from '@tallystick/engine/adapters/chain/testing';
import type { Broadcast } from '@tallystick/treasury';
import type { Hex } from 'viem';
import type { Broadcaster, BroadcasterOptions } from './broadcaster.ts';
import { mortality, TREASURY } from './testing.ts';

/** So little that a block takes one transfer: what is behind it waits, and what it offers counts. */
const CROWDED_BLOCK_GAS = 70_000;
const USUAL_BLOCK_GAS = 30_000_000;
const ROUNDS_MAX = 40;
/** Once all are signed, a whole life has about as many points. */
const LIFE_POINTS = 180;
/** Fewer of any of them, and it was no storm. */
const LEAST = { deaths: 5, resent: 5, replaced: 5, minedByReplacement: 1, minedByOriginal: 1 };

export interface StormWorld {
  engine: Engine;
  chain: Chain;
  test: TestChain;
  broadcaster(change?: Partial<BroadcasterOptions>): Broadcaster;
}

/** What happened. */
export interface Storm {
  deaths: number;
  /** Signed bytes that reached the chain more than once. */
  resent: number;
  /** Payouts of more than one attempt; the chain took a later one, or the first. */
  replaced: number;
  minedByReplacement: number;
  minedByOriginal: number;
}

const broadcastOf = async ({ engine }: StormWorld, stream: string): Promise<Broadcast> =>
  (await readStream(engine, stream))!.state['broadcast'] as Broadcast;

/** The same chain, and how often which bytes came to it. */
function counted(chain: Chain): { chain: Chain; sent: ReadonlyMap<Hex, number> } {
  const sent = new Map<Hex, number>();
  const send: Chain['send'] = (raw) => {
    sent.set(raw, (sent.get(raw) ?? 0) + 1);
    return chain.send(raw);
  };
  return { chain: { ...chain, send }, sent };
}

/** Until all that the streams want is final. @errors throws AssertionError when that takes too long, or when it was no storm */
export async function throughStorm(world: StormWorld, streams: readonly string[]): Promise<Storm> {
  const { engine, test } = world;
  const { chain, sent } = counted(world.chain);
  let deaths = 0;
  const dying = async (point: number | string, act: (one: Broadcaster) => Promise<unknown>): Promise<void> => {
    const { mortal, fault, hasDied } = mortality(point);
    const parts = { engine: mortal(engine), chain: mortal(chain), fault };
    await act(world.broadcaster({ ...parts, bumpMs: typeof point === 'string' ? 0 : 60_000 })).catch(() => undefined);
    if (hasDied()) deaths += 1;
  };
  const carryAllTwice = async (one: Broadcaster): Promise<void> => {
    await Promise.allSettled([...streams, ...streams].map((stream) => one.carry(stream)));
    await one.look();
  };
  const survivor = world.broadcaster({ chain, bumpMs: 0 });
  await crowd(test, true);
  for (let round = 0; !(await areFinal(world, streams)); round++) {
    assert.ok(round < ROUNDS_MAX, `not over after ${round} rounds`);
    const points = [25 + round * 41, 60 + round * 31].map((point) => point % LIFE_POINTS);
    await Promise.all(points.map((point) => dying(point, carryAllTwice)));
    if (round % 2 === 0) await survivor.look();
    else await dying('replaced', (one) => one.look()); // on record, and never sent by it
    await test.mine(1);
  }
  await crowd(test, false);
  const resent = [...sent.values()].filter((times) => times > 1).length;
  const storm = { deaths, resent, ...(await replacementsOf(world, streams)) };
  for (const [what, least] of Object.entries(LEAST))
    assert.ok(storm[what as keyof Storm] >= least, `it was no storm: ${what} in ${JSON.stringify(storm)}`);
  return storm;
}

async function crowd({ chain: { evm } }: TestChain, isCrowded: boolean): Promise<void> {
  const gas = isCrowded ? CROWDED_BLOCK_GAS : USUAL_BLOCK_GAS;
  await evm.request({ method: 'evm_setAutomine', params: [!isCrowded] });
  await evm.request({ method: 'evm_setBlockGasLimit', params: [`0x${gas.toString(16)}`] });
}

async function areFinal(world: StormWorld, streams: readonly string[]): Promise<boolean> {
  const all = await Promise.all(streams.map((stream) => broadcastOf(world, stream)));
  return all.every(({ phase }) => phase === 'final');
}

async function replacementsOf(
  world: StormWorld,
  streams: readonly string[],
): Promise<Pick<Storm, 'replaced' | 'minedByReplacement' | 'minedByOriginal'>> {
  const all = await Promise.all(streams.map((stream) => broadcastOf(world, stream)));
  const replaced = all.filter(({ attempts }) => attempts.length > 1);
  const minedByOriginal = replaced.filter(({ attempts, hash }) => attempts[0]!.hash === hash).length;
  return { replaced: replaced.length, minedByOriginal, minedByReplacement: replaced.length - minedByOriginal };
}

/** One nonce each, from the first on, and on the chain one attempt of each, which is the one that the log names. */
export async function assertOneTransactionEach(world: StormWorld, streams: readonly string[]): Promise<void> {
  const all = await Promise.all(streams.map((stream) => broadcastOf(world, stream)));
  const nonces = all.map(({ nonce }) => Number(nonce)).sort((a, b) => a - b);
  assert.deepEqual(
    nonces,
    streams.map((_, n) => n),
  );
  for (const { attempts, hash } of all) {
    const mined = await Promise.all(attempts.map((one) => world.chain.receiptOf(one.hash as Hex)));
    assert.deepEqual(
      attempts.filter((_, i) => mined[i]?.succeeded).map((one) => one.hash),
      [hash],
    );
  }
  assert.equal(await world.chain.transactionCount(TREASURY), BigInt(streams.length));
}
