/**
 * Proof of reserves on a real chain and a real database.
 * Promise: money that goes missing stops withdrawals and is said; ordinary life, whatever the chain does, never stops them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readMoment, readStream } from '@tallystick/engine';
import { type Chain, ChainFault } from '@tallystick/engine/adapters/chain';
import { withBalances } from '@tallystick/engine/adapters/chain/testing';
import { railStream, reservesMoment, signerStream } from '@tallystick/treasury';
import { type Logger, pino } from 'pino';
import { Addresses } from './addresses.ts';
import { ReserveCheck } from './reserve-check.ts';
import { fresh, keyOf, mortality, TREASURY } from './testing.ts';
import { newTreasuryWorld, type TreasuryWorld } from './treasury-world.ts';
import type { Watcher } from './watcher.ts';

const CENT = 10_000n;

async function lookAt(watcher: Watcher, times = 1): Promise<void> {
  for (let n = 0; n < times; n++) {
    await watcher.look();
    await watcher.checkReserves();
  }
}

const stolen = (world: TreasuryWorld, micros: bigint) => world.test.pay(keyOf('treasury'), fresh(), micros);

/** From a key of ours, which is nobody's deposit. */
async function putIn(world: TreasuryWorld, micros: bigint): Promise<void> {
  const address = keyOf('relayer').address.toLowerCase() as `0x${string}`;
  const opened = { rail: world.chain.key, address, from_nonce: '0' };
  await world.ask(signerStream(world.chain.key, address), 'OpenSigner', opened);
  await world.test.chain.faucet.give({ to: address, micros, reference: `capital ${micros}`, withGas: true });
  await world.test.pay(keyOf('relayer'), TREASURY, micros);
}

test('[I-42] a theft from the treasury stops withdrawals at the second look; money back, and they go on', async () => {
  await using world = await newTreasuryWorld();
  const ann = await world.person(100n * CENT);
  const watcher = world.watcher();
  await lookAt(watcher);
  await world.test.pay(ann.key, TREASURY, 50n * CENT);
  await lookAt(watcher);
  assert.deepEqual([(await world.rail()).withdrawals_stopped, (await world.rail()).reserves?.is_equal], [false, true]);
  await world.withdraw(ann, CENT, 'wdr_before');
  await stolen(world, 7n);
  await lookAt(watcher);
  assert.equal((await world.rail()).withdrawals_stopped, false, 'one look is not enough');
  await lookAt(watcher);
  const { withdrawals_stopped, reserves } = await world.rail();
  assert.deepEqual([withdrawals_stopped, reserves!.missing_micros], [true, '7']);
  assert.equal((await world.withdraw(ann, CENT, 'wdr_during')).rejection, 'RESERVES_DISAGREE');
  const broadcaster = world.broadcaster();
  await broadcaster.look();
  assert.equal((await world.withdrawal('wdr_before'))!.status, 'held', 'nothing is signed meanwhile');
  await putIn(world, 7n);
  await lookAt(watcher);
  assert.deepEqual([(await world.rail()).withdrawals_stopped, (await world.rail()).reserves!.is_equal], [false, true]);
  await world.broadcaster().look();
  assert.equal((await world.withdrawal('wdr_before'))!.status, 'signed', 'it goes on where it stood');
  await lookAt(watcher, 2);
  assert.equal((await world.rail()).reserves!.is_equal, true);
});

test('[I-42] a surplus is recorded as it changes; said to be the platform’s own, it is missed when it is stolen', async () => {
  await using world = await newTreasuryWorld();
  const watcher = world.watcher();
  const explain = (type: string, micros: bigint) =>
    world.ask(railStream(world.chain.key), type, { amount_micros: String(micros), reason: 'float', by: 'somebody' });
  await lookAt(watcher);
  await putIn(world, 9n);
  await lookAt(watcher);
  await stolen(world, 5n);
  await lookAt(watcher);
  assert.equal((await explain('ContributeFunds', 9n)).facts?.['available_micros'], '4', 'not what was there before');
  assert.equal((await explain('ContributeFunds', 4n)).rejection, undefined);
  await lookAt(watcher);
  assert.equal((await world.rail()).reserves!.is_equal, true);
  await stolen(world, 3n);
  await lookAt(watcher, 2);
  const { withdrawals_stopped, reserves } = await world.rail();
  assert.deepEqual([withdrawals_stopped, reserves!.missing_micros], [true, '3']);
  assert.equal((await explain('WriteOffFunds', 3n)).rejection, undefined);
  await lookAt(watcher);
  assert.deepEqual([(await world.rail()).withdrawals_stopped, (await world.rail()).reserves!.is_equal], [false, true]);
});

test('[I-42] what a final withdrawal paid, and the chain forgot, is not there to be explained: it is sent again', async () => {
  await using world = await newTreasuryWorld();
  const ann = await world.person(1_000n * CENT);
  const [watcher, carrier] = [world.watcher(), world.broadcaster()];
  await world.test.pay(ann.key, TREASURY, 100n * CENT);
  await lookAt(watcher);
  const forget = await world.test.snapshot();
  await world.withdraw(ann, 50n * CENT, 'wdr_1');
  for (let looks = 0; looks < 4; looks++) await carrier.look();
  assert.equal((await world.withdrawal('wdr_1'))!.status, 'final');
  await forget();
  await world.test.mine(3);
  for (const told of ['forgotten', 'sent again']) {
    await lookAt(watcher, 2);
    const { reserves, withdrawals_stopped } = await world.rail();
    assert.deepEqual([reserves!.is_equal, withdrawals_stopped], [true, false], told);
    await carrier.look();
    await world.test.mine(1);
  }
  assert.equal(await world.chain.balanceOf(ann.key.address), 950n * CENT);
});

test('what a stranger sends while money is missing is a deposit of his and replaces nothing; a chain that forgets the theft does', async () => {
  await using world = await newTreasuryWorld();
  const [ann, watcher] = [await world.person(100n * CENT), world.watcher()];
  await world.test.pay(ann.key, TREASURY, 50n * CENT);
  await lookAt(watcher);
  const undo = await world.test.snapshot();
  await stolen(world, 7n);
  await lookAt(watcher, 2);
  await world.test.chain.faucet.give({ to: TREASURY, micros: 100n, reference: 'a gift', withGas: false });
  await lookAt(watcher);
  const { withdrawals_stopped, reserves } = await world.rail();
  assert.deepEqual([withdrawals_stopped, reserves!.missing_micros], [true, '7']);
  await undo();
  await world.test.mine(4);
  await lookAt(watcher, 2);
  assert.deepEqual(
    [(await world.rail()).withdrawals_stopped, (await world.rail()).reserves!.missing_micros],
    [false, '0'],
  );
});

test('what is on its way in or out, at any depth, is no difference', async () => {
  await using world = await newTreasuryWorld();
  const ann = await world.person(1_000n * CENT);
  const [watcher, broadcaster] = [world.watcher(3), world.broadcaster({ confirmations: 3 })];
  await world.test.pay(ann.key, TREASURY, 500n * CENT);
  await world.test.pay(ann.key, ann.forwarder, 100n * CENT);
  await world.test.mine(3);
  await lookAt(watcher);
  for (const n of [1, 2, 3, 4]) {
    await world.withdraw(ann, 10n * CENT, `wdr_${n}`);
    await broadcaster.look();
    if (n % 2 === 0) await world.test.pay(ann.key, TREASURY, CENT);
    await lookAt(watcher);
    const { reserves } = await world.rail();
    assert.deepEqual([reserves!.looks_short, reserves!.is_equal], [0, true], `after withdrawal ${n}`);
  }
  await world.test.mine(3);
  await broadcaster.look();
  await lookAt(watcher);
  assert.equal((await world.withdrawal('wdr_4'))!.status, 'final');
  assert.deepEqual([(await world.rail()).reserves!.is_equal, (await world.rail()).withdrawals_stopped], [true, false]);
});

test('an endpoint that knows only the newest balances is asked for those, and what waits is told apart', async () => {
  await using world = await newTreasuryWorld();
  const ann = await world.person(1_000n * CENT);
  await world.test.pay(ann.key, TREASURY, 500n * CENT);
  await world.test.mine(3);
  const balanceOf: Chain['balanceOf'] = async (address, block) => {
    if (block !== undefined && block < (await world.chain.head()).number)
      throw new ChainFault('unreachable', 'missing trie node');
    return world.chain.balanceOf(address);
  };
  const watcher = world.watcher(3, world.engine, withBalances(world.chain, balanceOf));
  await lookAt(watcher);
  await world.withdraw(ann, 20n * CENT, 'wdr_1');
  await world.broadcaster({ confirmations: 3 }).look();
  await stolen(world, 1n);
  await world.test.pay(ann.key, TREASURY, 3n * CENT);
  await world.test.pay(ann.key, ann.forwarder, 4n * CENT);
  await lookAt(watcher);
  const { reserves } = await world.rail();
  const told = reserves!.parts.map(({ part, pending_micros, leaving_micros }) => [
    part,
    pending_micros,
    leaving_micros,
  ]);
  assert.deepEqual(told, [
    ['treasury', String(3n * CENT), String(20n * CENT)],
    ['forwarders', String(4n * CENT), '0'],
  ]);
  assert.equal(reserves!.missing_micros, '1');
});

test('a ledger that moves during the look leaves no word', async () => {
  await using world = await newTreasuryWorld();
  const ann = await world.person(1_000n * CENT);
  await world.test.pay(ann.key, TREASURY, 500n * CENT);
  const other = world.watcher();
  const moving = withBalances(world.chain, async (address, block) => {
    const held = await world.chain.balanceOf(address, block);
    await world.test.pay(ann.key, TREASURY, CENT);
    await other.look();
    return held;
  });
  await lookAt(world.watcher(1, world.engine, moving), 2);
  assert.equal((await world.rail()).reserves, undefined);
  await lookAt(world.watcher());
  assert.equal((await world.rail()).reserves!.is_equal, true);
});

test('a withdrawal that nobody can be paid by stays where it is until it can', async () => {
  await using world = await newTreasuryWorld();
  const ann = await world.person(100n * CENT);
  await world.test.pay(ann.key, ann.forwarder, 50n * CENT);
  const watcher = world.watcher();
  await lookAt(watcher);
  await world.withdraw(ann, 40n * CENT, 'wdr_1');
  await world.broadcaster().look();
  assert.equal((await world.withdrawal('wdr_1'))!.status, 'held', 'the treasury has nothing yet');
  assert.equal((await world.rail()).reserves!.is_equal, true);
});

test('[I-17] [I-42] a meter that dies at any step of a look credits once and leaves reserves that the next one finds equal', async () => {
  await using world = await newTreasuryWorld();
  const ann = await world.person(10_000n * CENT);
  await lookAt(world.watcher());
  let point = 0;
  for (let isAlive = false; !isAlive; point++) {
    await world.test.pay(ann.key, point % 2 === 0 ? TREASURY : ann.forwarder, CENT);
    await world.withdraw(ann, CENT, `wdr_${point}`);
    await world.broadcaster().look();
    const { mortal, hasDied } = mortality(point);
    await lookAt(world.watcher(1, mortal(world.engine), mortal(world.chain))).catch(() => undefined);
    isAlive = !hasDied();
    await world.engine.settled();
    await lookAt(world.watcher());
    const { reserves, withdrawals_stopped } = await world.rail();
    assert.deepEqual([reserves!.is_equal, withdrawals_stopped], [true, false], `after a death at point ${point}`);
    assert.ok(point < 200, 'it goes on without end');
  }
  assert.ok(point > 15, `only ${point} points were tried`);
  const { chain, ledger } = await world.reserves();
  assert.deepEqual(ledger, chain);
});

test('a chain whose head never stands still is looked at all the same', async () => {
  await using world = await newTreasuryWorld();
  const ann = await world.person(1_000n * CENT);
  await world.test.pay(ann.key, TREASURY, 500n * CENT);
  const head: Chain['head'] = async () => {
    await world.test.pay(ann.key, TREASURY, CENT);
    return world.chain.head();
  };
  const watcher = world.watcher(1, world.engine, { ...world.chain, head });
  for (let n = 0; n < 3; n++) {
    await lookAt(watcher);
    const { reserves } = await world.rail();
    assert.deepEqual([reserves!.is_equal, reserves!.parts[0]!.pending_micros], [true, String(CENT)]);
  }
});

test('addresses at which nothing ever arrived are not asked for, however many there are; one that is paid during the look is', async () => {
  await using world = await newTreasuryWorld();
  const people = await Promise.all(Array.from({ length: 12 }, () => world.person(100n * CENT)));
  const [ann, bob] = people as [(typeof people)[0], (typeof people)[0]];
  await world.test.pay(ann.key, ann.forwarder, 50n * CENT);
  const asked = new Set<string>();
  let pay = async (): Promise<unknown> => undefined;
  const counting: Chain = {
    ...withBalances(world.chain, (address, block) => {
      asked.add(address.toLowerCase());
      return world.chain.balanceOf(address, block);
    }),
    async head() {
      await pay();
      return world.chain.head();
    },
  };
  const watcher = world.watcher(1, world.engine, counting);
  await lookAt(watcher);
  assert.deepEqual([...asked].sort(), [TREASURY, ann.forwarder].sort());
  await watcher.look();
  pay = () => world.test.pay(bob.key, bob.forwarder, CENT);
  await watcher.checkReserves();
  pay = async () => undefined;
  assert.ok(asked.has(bob.forwarder));
  const { is_equal, parts } = (await world.rail()).reserves!;
  assert.deepEqual([is_equal, parts.map(({ pending_micros }) => pending_micros)], [true, ['0', '0']], 'no news');
  await lookAt(watcher);
  assert.deepEqual([asked.size, (await world.rail()).reserves!.is_equal], [3, true]);
});

test('a reserve that cannot be looked at for long is told once, and again when it can', async () => {
  await using world = await newTreasuryWorld();
  await lookAt(world.watcher());
  const told: string[] = [];
  const say = (_facts: unknown, text: string): void => void told.push(text);
  const log = { ...pino({ level: 'silent' }), error: say, warn: say } as unknown as Logger;
  let [nowMs, isAway] = [0, true];
  const balanceOf: Chain['balanceOf'] = (address, block) =>
    isAway ? Promise.reject(new ChainFault('unreachable', 'away')) : world.chain.balanceOf(address, block);
  const check = new ReserveCheck({
    ...{ engine: world.engine, chain: withBalances(world.chain, balanceOf), addresses: new Addresses(world.chain.key) },
    ...{ confirmations: 1, log, nowMs: () => nowMs },
  });
  const head = await world.chain.head();
  for (const ms of [0, 599_999, 600_000, 700_000]) {
    nowMs = ms;
    await assert.rejects(check.check(head), ChainFault);
    assert.equal(told.length, ms < 600_000 ? 0 : 1);
  }
  isAway = false;
  await check.check(head);
  await check.check(head);
  assert.deepEqual([told.length, /not held against/.test(told[0]!), /again/.test(told[1]!)], [2, true, true]);
});

test('a look that counts is noted, not more often than every ten seconds; one that does not count is not', async () => {
  await using world = await newTreasuryWorld();
  const { engine, chain } = world;
  await lookAt(world.watcher());
  const noted = () => readMoment(engine, reservesMoment(chain.key));
  const first = await noted();
  assert.ok(first !== undefined && first <= engine.nowUs());
  let [nowMs, isAway] = [0, false];
  const balanceOf: Chain['balanceOf'] = (address, block) =>
    isAway ? Promise.reject(new ChainFault('unreachable', 'away')) : chain.balanceOf(address, block);
  const check = new ReserveCheck({
    ...{ engine, chain: withBalances(chain, balanceOf), addresses: new Addresses(chain.key) },
    ...{ confirmations: 1, log: pino({ level: 'silent' }), nowMs: () => nowMs },
  });
  const head = await chain.head();
  const version = (await readStream(engine, railStream(chain.key)))!.version;
  await check.check(head);
  const second = await noted();
  assert.ok(second! > first!);
  nowMs = 9_999;
  await check.check(head);
  assert.equal(await noted(), second);
  [nowMs, isAway] = [10_000, true];
  await assert.rejects(check.check(head), ChainFault);
  await check.check({ ...head, number: head.number + 1n });
  assert.equal(await noted(), second);
  isAway = false;
  await check.check(head);
  assert.ok((await noted())! > second!);
  assert.equal((await readStream(engine, railStream(chain.key)))!.version, version, 'and leaves no receipt');
});
