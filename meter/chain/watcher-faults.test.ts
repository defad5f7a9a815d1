/**
 * The watcher while the world fails in between: a queue that is full, a chain that changes during a look, an endpoint with limits.
 * Promise: whatever happens in the look that should credit a deposit, a later look credits it, and once.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault, readStream, streamsOfStatus } from '@tallystick/engine';
import { type Chain, ChainFault } from '@tallystick/engine/adapters/chain';
import { carryAuthorization, signAuthorization } from '@tallystick/engine/adapters/chain/testing';
import { NOT_TAKEN, overhearing } from '@tallystick/engine/testing';
import {
  authorizationStream,
  type DepositState,
  depositIdOf,
  depositStream,
  quoteIdOf,
  quoteStream,
} from '@tallystick/treasury';
import type { Hex } from 'viem';
import { TREASURY } from './testing.ts';
import { balanceOf, newTreasuryWorld, type Person, type TreasuryWorld } from './treasury-world.ts';

const CENT = 10_000n;

test('a queue that is full for one command of the look that matures a deposit makes nothing vanish', async () => {
  for (const full of ['OpenRail', 'OpenAccount', 'SeeDeposit', 'CreditDeposit', 'RecordScan']) {
    await using world = await newTreasuryWorld();
    const ann = await world.person(500n * CENT);
    await world.test.pay(ann.key, TREASURY, 300n * CENT);
    let left = 1;
    const busy = overhearing(world.engine, async ({ type }) => (type === full && left-- > 0 ? NOT_TAKEN : undefined));
    const watcher = world.watcher(1, busy);
    await assert.rejects(watcher.look(), Fault, full);
    assert.equal(left, 0, full);
    await watcher.look();
    await world.test.pay(ann.key, TREASURY, CENT);
    await watcher.look();
    assert.equal(await balanceOf(world, ann), 301n * CENT, full);
    assert.equal((await world.rail()).scanned.number, String((await world.chain.head()).number), full);
  }
});

/** Offers a quote and carries what somebody else signed for it, as anybody may; answers with what says whose it is. */
async function carried(world: TreasuryWorld, who: Person, { key: payer }: Person, micros: bigint) {
  const { token } = world.chain.config;
  const id = quoteIdOf(who.principal, 'key');
  const options = [{ amount_micros: String(micros), label: 'top_up' }];
  const offer = { key: 'key', fingerprint: 'f', options, rail: world.chain.key, network: 'n', token, pay_to: TREASURY };
  await world.ask(quoteStream(id), 'OfferQuote', offer, who.principal);
  const quote = (await readStream(world.engine, quoteStream(id)))!.state;
  const nonce = String(quote['auth_nonce']) as Hex;
  const validBefore = world.engine.nowUs() / 1_000_000n + 3_000n;
  const payment = await signAuthorization(world.test, payer, { value: micros, validBefore, nonce });
  const tx = await carryAuthorization(world.test, payment);
  const from = payer.address.toLowerCase();
  const assign = async (): Promise<void> => {
    const body = { rail: world.chain.key, payer: from, nonce, quote: id };
    const stream = authorizationStream(world.chain.key, from, nonce);
    assert.equal((await world.ask(stream, 'AssignAuthorization', body, who.principal)).rejection, undefined);
  };
  return { id, tx, assign };
}

test('an authorization that becomes a quote’s while its deposit matures is credited to the quote', async () => {
  await using world = await newTreasuryWorld();
  const [ann, bob] = [await world.person(100n * CENT), await world.person(0n)];
  await world.watcher().look();
  const { id, tx, assign } = await carried(world, bob, ann, 50n * CENT);
  let isFirst = true;
  const racing = overhearing(world.engine, async ({ type }) => {
    if (type === 'SeeDeposit' && isFirst) {
      isFirst = false;
      await assign();
    }
    return undefined;
  });
  await world.watcher(1, racing).look();
  await world.engine.settled();
  assert.equal(isFirst, false);
  assert.deepEqual([await balanceOf(world, ann), await balanceOf(world, bob)], [0n, 50n * CENT]);
  const deposit = await readStream(world.engine, depositStream(depositIdOf(world.chain.key, { tx, ordinal: 1 })));
  const { status, quote_id } = deposit!.state as unknown as DepositState;
  assert.deepEqual([status, quote_id], ['credited', id]);
});

test('blocks that change between the logs and their header are looked through again', async () => {
  for (const isFirst of [true, false]) {
    await using world = await newTreasuryWorld();
    const ann = await world.person(100n * CENT);
    if (!isFirst) await world.watcher().look();
    const undo = await world.test.snapshot();
    await world.test.mine(2);
    let isOver = false;
    const changing: Chain = {
      ...world.chain,
      async transfers(from, to, payees) {
        const found = await world.chain.transfers(from, to, payees);
        if (isOver) return found;
        isOver = true; // other blocks won, and a payment is in one of them
        await undo();
        await world.test.pay(ann.key, TREASURY, 30n * CENT);
        await world.test.mine(1);
        return found;
      },
    };
    const watcher = world.watcher(1, world.engine, changing);
    await assert.rejects(watcher.look(), (fault) => fault instanceof ChainFault && fault.kind === 'disagreement');
    await watcher.look();
    assert.equal(await balanceOf(world, ann), 30n * CENT);
  }
});

test('a block below the range that changes after it was found standing is looked through again', async () => {
  await using world = await newTreasuryWorld();
  const ann = await world.person(100n * CENT);
  let afterLook = async (): Promise<void> => undefined;
  const changing: Chain = {
    ...world.chain,
    async header(number) {
      const found = await world.chain.header(number);
      await afterLook();
      return found;
    },
  };
  const watcher = world.watcher(1, world.engine, changing);
  await watcher.look();
  const undo = await world.test.snapshot();
  await world.test.mine(1);
  await watcher.look();
  afterLook = async () => {
    afterLook = async () => undefined;
    await undo();
    await world.test.pay(ann.key, TREASURY, 30n * CENT);
    await world.test.mine(2);
  };
  await world.test.mine(1);
  await assert.rejects(watcher.look(), ChainFault);
  await watcher.look();
  assert.equal(await balanceOf(world, ann), 30n * CENT);
});

test('an endpoint that refuses many blocks at once is asked for fewer until it answers', async () => {
  await using world = await newTreasuryWorld();
  const ann = await world.person(100n * CENT);
  await world.test.pay(ann.key, TREASURY, 30n * CENT);
  await world.test.mine(40);
  const asked: bigint[] = [];
  const limited: Chain = {
    ...world.chain,
    transfers(from, to, payees) {
      asked.push(to - from + 1n);
      if (to - from + 1n > 10n) return Promise.reject(new ChainFault('unreachable', 'too many blocks'));
      return world.chain.transfers(from, to, payees);
    },
  };
  const watcher = world.watcher(1, world.engine, limited);
  let looks = 1;
  while (
    !(await watcher.look().then(
      () => true,
      () => false,
    ))
  )
    assert.ok(++looks < 20, String(asked));
  assert.equal(await balanceOf(world, ann), 30n * CENT);
  assert.ok(
    asked.every((blocks, i) => blocks <= 10n || i === 0 || blocks <= 2n * asked[i - 1]!),
    String(asked),
  );
});

test('a block that many pending deposits stand in is asked for once in a look', async () => {
  await using world = await newTreasuryWorld();
  const people = await Promise.all(Array.from({ length: 5 }, () => world.person(CENT)));
  const { evm } = world.test.chain;
  await evm.request({ method: 'evm_setAutomine', params: [false] });
  for (const { key } of people) {
    const raw = await world.test.signPayment(key, TREASURY, CENT);
    await evm.request({ method: 'eth_sendRawTransaction', params: [raw] });
  }
  await evm.request({ method: 'evm_mine', params: [] });
  const { number } = await world.chain.head();
  let asked = 0;
  const counting: Chain = {
    ...world.chain,
    header(block) {
      if (block === number) asked += 1;
      return world.chain.header(block);
    },
  };
  const watcher = world.watcher(50, world.engine, counting);
  await watcher.look();
  const seen = await streamsOfStatus(world.engine, { kind: 'deposit', status: 'seen', limit: 10 });
  assert.deepEqual([seen.length, asked], [people.length, 1]);
});
