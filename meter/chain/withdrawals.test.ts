/**
 * Withdrawals from the request to the last confirmation, on a real chain with the real rules.
 * Promise: who withdraws has it once, on the chain or in the account; what the ledger says that we hold is what the chain holds.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trialBalance } from '@tallystick/engine';
import type { Chain } from '@tallystick/engine/adapters/chain';
import { withdrawalAccount, withdrawingAccount, withdrawnAccount } from '@tallystick/kernel';
import { withdrawalStream } from '@tallystick/treasury';
import { assertOneTransactionEach, throughStorm } from './storm.ts';
import { fresh, keyOf, TREASURY, untilTrue } from './testing.ts';
import { balanceOf, newTreasuryWorld, type Person, type TreasuryWorld } from './treasury-world.ts';

const CENT = 10_000n;
const DEPOSIT_MICROS = 300n * CENT;

async function depositors(world: TreasuryWorld, count: number): Promise<Person[]> {
  const people: Person[] = [];
  for (let n = 0; n < count; n++) {
    const one = await world.person(DEPOSIT_MICROS);
    await world.test.pay(one.key, TREASURY, DEPOSIT_MICROS);
    people.push(one);
  }
  const watcher = world.watcher();
  await watcher.look();
  await world.engine.settled();
  for (const one of people) assert.equal(await balanceOf(world, one), DEPOSIT_MICROS);
  return people;
}

const statusOf = async (world: TreasuryWorld, id: string) => (await world.withdrawal(id))?.status;

async function assertBooks(world: TreasuryWorld): Promise<void> {
  const { chain, ledger } = await world.reserves();
  assert.deepEqual(ledger, chain, 'the ledger and the chain differ');
  for (const { sumMicros } of await trialBalance(world.engine)) assert.equal(sumMicros, 0n);
}

test('[I-38] twenty withdrawals at once, through deaths, second submissions and replacements: each is paid once, and the books agree', async (context) => {
  await using world = await newTreasuryWorld();
  const people = await depositors(world, 5);
  const wanted = people.flatMap((who, p) =>
    [0, 1, 2, 3].map((n) => ({ who, id: `wdr_${p}_${n}`, micros: BigInt(10 + n) * CENT })),
  );
  const requested = await Promise.all(wanted.map(({ who, id, micros }) => world.withdraw(who, micros, id)));
  assert.deepEqual(new Set(requested.map(({ rejection }) => rejection)), new Set([undefined]));
  const streams = wanted.map(({ id }) => withdrawalStream(id));
  const storm = await throughStorm(world, streams);
  context.diagnostic(JSON.stringify(storm));
  await assertOneTransactionEach(world, streams);
  const sum = 46n * CENT;
  for (const one of people) {
    assert.equal(await world.chain.balanceOf(one.key.address), sum);
    assert.equal(await balanceOf(world, one), DEPOSIT_MICROS - sum);
    assert.equal(await world.balance(withdrawnAccount(one.principal)), sum);
    assert.equal(await world.balance(withdrawingAccount(one.principal)), 0n);
  }
  for (const { id } of wanted) assert.equal(await world.balance(withdrawalAccount(id)), 0n);
  await assertBooks(world);
});

test('a withdrawal that the contract undoes comes back to its owner, and can be asked for again', async () => {
  await using world = await newTreasuryWorld();
  const [ann] = (await depositors(world, 1)) as [Person];
  await world.withdraw(ann, CENT, 'wdr_1');
  const blind = { ...world.chain, gasOf: async () => 22_500n } as Chain; // so little that it runs out
  await world.broadcaster({ chain: blind }).carry('withdrawal:wdr_1');
  await world.broadcaster().look();
  assert.equal(await statusOf(world, 'wdr_1'), 'returned');
  assert.deepEqual([await balanceOf(world, ann), await world.chain.balanceOf(ann.key.address)], [DEPOSIT_MICROS, 0n]);
  await assertBooks(world);
  await world.withdraw(ann, CENT, 'wdr_2');
  const broadcaster = world.broadcaster();
  await broadcaster.look();
  await broadcaster.look();
  assert.deepEqual([await statusOf(world, 'wdr_2'), await world.chain.balanceOf(ann.key.address)], ['final', CENT]);
  await assertBooks(world);
});

test('a withdrawal whose nonce somebody else used comes back, and is not paid by its old bytes later', async () => {
  await using world = await newTreasuryWorld();
  const [ann] = (await depositors(world, 1)) as [Person];
  await world.withdraw(ann, CENT, 'wdr_1');
  const silent = { ...world.chain, send: async () => 'never left' } as Chain;
  await world.broadcaster({ chain: silent }).carry('withdrawal:wdr_1');
  const { raw } = (await world.withdrawal('wdr_1'))!.broadcast.attempts[0]!;
  await world.test.pay(keyOf('treasury'), fresh(), 1n);
  await world.broadcaster().look();
  assert.equal(await statusOf(world, 'wdr_1'), 'returned');
  assert.notEqual(await world.chain.send(raw as `0x${string}`), undefined, 'no node takes them any more');
  assert.deepEqual([await balanceOf(world, ann), await world.chain.balanceOf(ann.key.address)], [DEPOSIT_MICROS, 0n]);
});

test('what a suspended account has held is not paid until it is reinstated', async () => {
  await using world = await newTreasuryWorld();
  const [ann] = await depositors(world, 1);
  await world.withdraw(ann!, 50n * CENT, 'wdr_1');
  const said = { reason: 'stolen key', by: 'admin' };
  assert.equal((await world.ask(`standing:${ann!.principal}`, 'Suspend', said)).rejection, undefined);
  const [before, broadcaster] = [await world.chain.balanceOf(ann!.key.address), world.broadcaster()];
  await broadcaster.look();
  await broadcaster.carry('withdrawal:wdr_1');
  assert.equal(await statusOf(world, 'wdr_1'), 'held');
  await world.ask(`standing:${ann!.principal}`, 'Reinstate', said);
  await broadcaster.carry('withdrawal:wdr_1');
  assert.equal(await statusOf(world, 'wdr_1'), 'signed');
  const isPaid = async () => (await world.chain.balanceOf(ann!.key.address)) === before + 50n * CENT;
  await untilTrue(isPaid, () => broadcaster.look());
});
