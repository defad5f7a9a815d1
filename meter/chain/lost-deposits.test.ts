/**
 * Deposits while the chain changes its mind: mined again in other blocks, by watchers that die in between, deeper than anybody looks back.
 * Promise: what stands is never called lost, what is gone never stays in the books, and money that is missing is never explained away.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Engine, readStream } from '@tallystick/engine';
import { type Chain, ChainFault } from '@tallystick/engine/adapters/chain';
import { overhearing } from '@tallystick/engine/testing';
import { reorgLossAccount } from '@tallystick/kernel';
import { type DepositState, depositIdOf, depositStream, LOOKS_SHORT_MAX, railStream } from '@tallystick/treasury';
import type { Hex } from 'viem';
import { ChainRewritten, REORG_BLOCKS_MAX } from './marks.ts';
import { fresh, keyOf, TREASURY } from './testing.ts';
import { balanceOf, newTreasuryWorld, type TreasuryWorld } from './treasury-world.ts';
import type { Watcher } from './watcher.ts';

const CENT = 10_000n;

/** The same engine, whose program dies when it would record how far it looked. */
const dyingBeforeMark = (engine: Engine): Engine =>
  overhearing(engine, async ({ type }) => {
    if (type === 'RecordScan') throw new Error('died');
    return undefined;
  });

const depositOf = async ({ engine, chain }: TreasuryWorld, tx: Hex): Promise<DepositState> =>
  (await readStream(engine, depositStream(depositIdOf(chain.key, { tx, ordinal: 0 }))))!
    .state as unknown as DepositState;

async function lookThrough(watcher: Watcher): Promise<void> {
  await watcher.look();
  await watcher.checkReserves();
}

test('[I-42] a theft stays missing money, also when a deposit was mined again elsewhere after its watcher died', async () => {
  await using world = await newTreasuryWorld();
  const ann = await world.person(1_000n * CENT);
  await world.test.pay(ann.key, TREASURY, 100n * CENT);
  await lookThrough(world.watcher());
  const undo = await world.test.snapshot();
  const raw = await world.test.signPayment(ann.key, TREASURY, 300n * CENT);
  const tx = await world.test.send(raw);
  await assert.rejects(world.watcher(1, dyingBeforeMark(world.engine)).look(), /died/);
  await world.engine.settled();
  await undo();
  await world.test.mine(1);
  await world.test.send(raw);
  await world.test.mine(1);
  const next = world.watcher();
  await lookThrough(next);
  assert.equal((await world.rail()).reserves!.is_equal, true);
  await world.test.pay(keyOf('treasury'), fresh(), 200n * CENT);
  for (let looks = 0; looks <= LOOKS_SHORT_MAX; looks++) await lookThrough(next);
  await world.engine.settled();
  const { reserves, withdrawals_stopped } = await world.rail();
  assert.deepEqual([reserves!.missing_micros, withdrawals_stopped], [String(200n * CENT), true]);
  const { status, block_hash } = await depositOf(world, tx);
  assert.deepEqual([status, block_hash], ['credited', (await world.chain.receiptOf(tx, 1_000n))!.block.hash]);
  assert.equal(await world.balance(reorgLossAccount(world.chain.key)), 0n);
});

test('a deposit that other blocks hold is the platform’s loss only while it is not deep enough there', async () => {
  await using world = await newTreasuryWorld();
  const ann = await world.person(1_000n * CENT);
  const watcher = world.watcher(3);
  await lookThrough(watcher);
  const undo = await world.test.snapshot();
  const raw = await world.test.signPayment(ann.key, TREASURY, 300n * CENT);
  const tx = await world.test.send(raw);
  await world.test.mine(2);
  await lookThrough(watcher);
  const told = async () => [
    (await depositOf(world, tx)).status,
    await balanceOf(world, ann),
    await world.balance(reorgLossAccount(world.chain.key)),
  ];
  assert.deepEqual(await told(), ['credited', 300n * CENT, 0n]);
  await undo();
  await world.test.mine(3);
  await world.test.send(raw);
  await lookThrough(watcher);
  await world.engine.settled();
  assert.deepEqual(await told(), ['seen', 300n * CENT, -300n * CENT]);
  await world.test.mine(2);
  await lookThrough(watcher);
  await world.engine.settled();
  assert.deepEqual(await told(), ['credited', 300n * CENT, 0n]);
});

/** Which blocks are asked for from now on. */
function overheard({ chain }: TreasuryWorld): { heard: Chain; asked: bigint[] } {
  const asked: bigint[] = [];
  const heard: Chain = {
    ...chain,
    transfers(from, to, payees) {
      asked.push(from);
      return chain.transfers(from, to, payees);
    },
  };
  return { heard, asked };
}

const DEPTH = Number(REORG_BLOCKS_MAX) + 10;

async function mineAndLook({ test: { mine } }: TreasuryWorld, watcher: Watcher, blocks: number): Promise<void> {
  for (let mined = 0; mined < blocks; mined++) {
    await mine(1);
    await watcher.look();
  }
}

test('a change deeper than a watcher remembers goes back to the block on record that still stands, and no further', async () => {
  await using world = await newTreasuryWorld();
  const ann = await world.person(1_000n * CENT);
  const { heard, asked } = overheard(world);
  const watcher = world.watcher(1, world.engine, heard);
  await watcher.look();
  const { number } = await world.chain.head();
  const undo = await world.test.snapshot();
  const tx = await world.test.pay(ann.key, TREASURY, 300n * CENT);
  await mineAndLook(world, watcher, DEPTH);
  await undo();
  await world.test.mine(DEPTH + 5);
  asked.length = 0;
  await lookThrough(watcher);
  assert.deepEqual([asked[0], (await depositOf(world, tx)).status], [number + 1n, 'reversed']);
  assert.equal((await world.rail()).reserves!.is_equal, true);
});

test('when no block on record stands, deposits wait for a person, look after look, and go on from where one says', async () => {
  await using world = await newTreasuryWorld();
  const ann = await world.person(1_000n * CENT);
  const { heard, asked } = overheard(world);
  const watcher = world.watcher(1, world.engine, heard);
  await watcher.look();
  const { number, hash } = await world.chain.head();
  const undo = await world.test.snapshot();
  const tx = await world.test.pay(ann.key, TREASURY, 300n * CENT);
  await mineAndLook(world, watcher, DEPTH);
  await world.test.pay(ann.key, TREASURY, 20n * CENT);
  await watcher.look(); // what arrives is recorded, and with it an anchor that is younger than the fork
  await undo();
  await world.test.mine(DEPTH + 5);
  const other = await world.test.pay(ann.key, TREASURY, 7n * CENT);
  asked.length = 0;
  for (const one of [watcher, watcher, world.watcher(1, world.engine, heard)])
    await assert.rejects(one.look(), ChainRewritten);
  assert.deepEqual([asked, (await depositOf(world, tx)).status], [[], 'credited']);
  const scanned = { number: String(number), hash };
  const said = await world.ask(railStream(world.chain.key), 'RewindScan', { scanned, by: 'ann', reason: 'rewritten' });
  assert.equal(said.rejection, undefined);
  await lookThrough(watcher);
  await world.engine.settled();
  assert.equal(asked[0], number + 1n);
  assert.deepEqual(
    [(await depositOf(world, tx)).status, (await depositOf(world, other)).status],
    ['reversed', 'credited'],
  );
  assert.equal(await balanceOf(world, ann), 327n * CENT);
  const { reserves, scanned: newest } = await world.rail();
  assert.deepEqual([reserves!.is_equal, newest.number], [true, String((await world.chain.head()).number)]);
});

test('an endpoint that is behind takes nothing back', async () => {
  await using world = await newTreasuryWorld();
  const ann = await world.person(1_000n * CENT);
  let behind = 0n;
  const { chain } = world;
  const lagging: Chain = {
    ...chain,
    async head() {
      const { number } = await chain.head();
      return (await chain.header(number - behind))!;
    },
    header: async (number) => (number > (await chain.head()).number - behind ? undefined : chain.header(number)),
  };
  const watcher = world.watcher(1, world.engine, lagging);
  await watcher.look();
  const tx = await world.test.pay(ann.key, TREASURY, 300n * CENT);
  await watcher.look();
  behind = 1n;
  await assert.rejects(watcher.look(), (fault) => fault instanceof ChainFault && fault.kind === 'disagreement');
  behind = 0n;
  await watcher.look();
  await world.engine.settled();
  assert.equal((await depositOf(world, tx)).status, 'credited');
  assert.equal(await world.balance(reorgLossAccount(chain.key)), 0n);
});
