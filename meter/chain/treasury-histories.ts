/**
 * Random histories of a whole treasury: people deposit, spend and withdraw, meters die, the chain forgets.
 * Promise: at the end of each, however it went, the chain holds what the ledger says, and everybody got theirs once.
 */
import assert from 'node:assert/strict';
import { readStream } from '@tallystick/engine';
import {
  reorgLossAccount,
  userAccount,
  withdrawalAccount,
  withdrawingAccount,
  withdrawnAccount,
} from '@tallystick/kernel';
import { type DepositState, depositIdOf, depositStream, withdrawalStream } from '@tallystick/treasury';
import fc from 'fast-check';
import { pino } from 'pino';
import type { Hex } from 'viem';
import type { Broadcaster } from './broadcaster.ts';
import { Sweeper } from './sweeper.ts';
import { mortality, TREASURY } from './testing.ts';
import { newTreasuryWorld, type Person, type TreasuryWorld } from './treasury-world.ts';
import type { Watcher } from './watcher.ts';

export type Step =
  | { do: 'deposit' | 'forward' | 'withdraw'; who: number; cents: bigint }
  | { do: 'spend' | 'cancel'; who: number }
  | { do: 'sweep' | 'look' | 'carry' | 'remember' | 'forget' | 'restart' }
  | { do: 'mine'; blocks: number }
  | { do: 'die-watching' | 'die-carrying'; point: number };

const CENT = 10_000n;
const PEOPLE = 2;
const PURSE_MICROS = 100_000n * CENT;
/** Of somebody who withdraws nothing: the treasury can pay whatever the chain forgets. */
const FLOAT_MICROS = 10_000n * CENT;
const ROUNDS_MAX = 60;
const log = pino({ level: process.env['TEST_LOG'] ?? 'silent' });

const who = fc.nat({ max: PEOPLE - 1 });
const cents = fc.bigInt({ min: 1n, max: 400n });
const moved = <D extends 'deposit' | 'forward' | 'withdraw'>(what: D): fc.Arbitrary<Step> =>
  fc.record({ do: fc.constant(what), who, cents });
const PLAIN = ['sweep', 'look', 'carry', 'look', 'carry', 'remember', 'forget', 'restart'] as const;

export const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: moved('deposit') },
  { weight: 3, arbitrary: moved('forward') },
  { weight: 5, arbitrary: moved('withdraw') },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('spend' as const, 'cancel' as const), who }) },
  { weight: 10, arbitrary: fc.record({ do: fc.constantFrom(...PLAIN) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('mine' as const), blocks: fc.integer({ min: 1, max: 3 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('die-watching' as const, 'die-carrying' as const),
      point: fc.nat({ max: 40 }),
    }),
  },
);

/** What is needed of a history besides its world. */
interface History {
  world: TreasuryWorld;
  people: Person[];
  confirmations: number;
  watcher: Watcher;
  carrier: Broadcaster;
  /** Transactions by which people deposited, the forgotten ones included. */
  paid: { who: Person; tx: Hex; to: `0x${string}` }[];
  withdrawals: string[];
  spent: bigint[];
  /** Undoes what came after it, and how long the chain was. */
  memory: { undo(): Promise<void>; height: bigint } | undefined;
}

/** One history from its beginning to its quiet end, with everything that must hold there. */
export async function live(history: readonly Step[], confirmations: number): Promise<void> {
  await using world = await newTreasuryWorld();
  const people = await Promise.all(Array.from({ length: PEOPLE }, () => world.person(PURSE_MICROS)));
  const house = await world.person(FLOAT_MICROS);
  await world.test.pay(house.key, TREASURY, FLOAT_MICROS);
  await world.test.mine(confirmations);
  const told: History = {
    ...{ world, people, confirmations, paid: [], withdrawals: [], spent: people.map(() => 0n), memory: undefined },
    watcher: world.watcher(confirmations),
    carrier: world.broadcaster({ confirmations }),
  };
  await told.watcher.look();
  await told.watcher.checkReserves();
  for (const step of history) {
    await take(told, step);
    const { withdrawals_stopped } = await world.rail();
    assert.notEqual(withdrawals_stopped, true, `withdrawals were stopped after ${JSON.stringify(step, textOf)}`);
  }
  await settle(told);
  await assertBooks(told);
}

const textOf = (_name: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);

async function take(told: History, step: Step): Promise<void> {
  const { world, people, watcher, carrier } = told;
  if ('point' in step) return die(told, step.do, step.point);
  if (step.do === 'deposit' || step.do === 'forward') return deposit(told, people[step.who]!, step);
  if (step.do === 'withdraw') return withdraw(told, people[step.who]!, step.cents * CENT);
  if (step.do === 'spend') return spend(told, step.who);
  if (step.do === 'cancel') return cancel(told, people[step.who]!);
  if (step.do === 'mine') return world.test.mine(step.blocks);
  if (step.do === 'look') return lookThrough(watcher);
  if (step.do === 'carry') return carrier.look();
  if (step.do === 'sweep') return new Sweeper({ ...world, minMicros: CENT, log }).look();
  if (step.do === 'remember') return remember(told);
  if (step.do === 'forget') return forget(told);
  if (step.do === 'restart') {
    told.watcher = world.watcher(told.confirmations);
    told.carrier = world.broadcaster({ confirmations: told.confirmations });
  }
  return undefined;
}

async function lookThrough(watcher: Watcher): Promise<void> {
  await watcher.look();
  await watcher.checkReserves();
}

async function deposit(told: History, person: Person, step: { do: string; cents: bigint }): Promise<void> {
  const to = step.do === 'deposit' ? TREASURY : person.forwarder;
  const tx = await told.world.test.pay(person.key, to, step.cents * CENT);
  if (!told.paid.some((one) => one.tx === tx)) told.paid.push({ who: person, tx, to });
}

async function withdraw(told: History, person: Person, micros: bigint): Promise<void> {
  const id = `wdr_${String(told.withdrawals.length).padStart(32, '0')}`;
  const { rejection } = await told.world.withdraw(person, micros, id);
  if (rejection === undefined) told.withdrawals.push(id);
  else assert.equal(rejection, 'WITHDRAWAL_OVER_BALANCE');
}

async function spend(told: History, index: number): Promise<void> {
  told.spent[index]! += await told.world.spend(told.people[index]!);
}

/** The newest of theirs that may be taken back. */
async function cancel({ world, withdrawals }: History, { principal }: Person): Promise<void> {
  for (const id of withdrawals.toReversed()) {
    const { rejection } = await world.ask(withdrawalStream(id), 'CancelWithdrawal', {}, principal);
    if (rejection === undefined) return;
    assert.match(rejection, /NOT_FOUND|WITHDRAWAL_UNDER_WAY/);
  }
}

async function remember(told: History): Promise<void> {
  const { number: height } = await told.world.chain.head();
  told.memory ??= { undo: await told.world.test.snapshot(), height };
}

/** Other blocks win, more of them than were lost. */
async function forget(told: History): Promise<void> {
  const { memory, world } = told;
  if (!memory) return;
  told.memory = undefined;
  const lost = (await world.chain.head()).number - memory.height;
  await memory.undo();
  await world.test.mine(Number(lost) + 1);
}

async function die({ world, confirmations }: History, how: 'die-watching' | 'die-carrying', point: number) {
  const { fault, mortal } = mortality(point);
  const [engine, chain] = [mortal(world.engine), mortal(world.chain)];
  const dying =
    how === 'die-watching'
      ? lookThrough(world.watcher(confirmations, engine, chain))
      : world.broadcaster({ engine, chain, fault, confirmations }).look();
  await dying.catch(() => undefined);
  await world.engine.settled();
}

/** Until nothing is under way any more. */
async function settle(told: History): Promise<void> {
  const { world, confirmations } = told;
  const [watcher, carrier] = [world.watcher(confirmations), world.broadcaster({ confirmations })];
  for (let round = 0; round < ROUNDS_MAX; round++) {
    await carrier.look();
    await world.test.mine(1);
    await lookThrough(watcher);
    await world.engine.settled();
    const { chain, ledger } = await world.reserves();
    const states = await Promise.all(told.withdrawals.map((id) => world.withdrawal(id)));
    const isQuiet = states.every((state) => state!.status === 'final' || state!.status === 'returned');
    if (isQuiet && round > confirmations && String(chain) === String(ledger)) return;
  }
}

async function assertBooks(told: History): Promise<void> {
  const { world, people } = told;
  const { chain, ledger } = await world.reserves();
  assert.deepEqual(ledger, chain, 'the ledger and the chain differ');
  assert.equal((await world.rail()).reserves!.is_equal, true);
  for (const [index, person] of people.entries()) await assertPerson(told, person, told.spent[index]!);
  assert.ok((await world.balance(reorgLossAccount(world.chain.key))) <= 0n, 'more came back than was lost');
}

/** Credited once for each deposit that was ever deep enough, paid once for each withdrawal that is final. */
async function assertPerson({ world, paid, withdrawals }: History, person: Person, spent: bigint): Promise<void> {
  let [credited, sent, arrived, returned] = [0n, 0n, 0n, 0n];
  for (const { tx, to } of paid.filter(({ who }) => who === person)) {
    const id = depositIdOf(world.chain.key, { tx, ordinal: 0 });
    const state = (await readStream(world.engine, depositStream(id)))?.state as unknown as DepositState | undefined;
    if (state?.is_paid_out) credited += BigInt(state.amount_micros);
    for (const { micros } of await world.chain.transfersIn(tx, to)) sent += micros;
  }
  for (const id of withdrawals) {
    const { principal, status, amount_micros } = (await world.withdrawal(id))!;
    if (principal !== person.principal) continue;
    if (status === 'final') arrived += BigInt(amount_micros);
    else returned += BigInt(amount_micros);
    assert.equal(await world.balance(withdrawalAccount(id)), 0n, `${id} has ended`);
  }
  const { principal, key } = person;
  assert.equal(await world.balance(userAccount(principal)), credited - spent - arrived, 'credited once, paid once');
  assert.equal(await world.balance(withdrawnAccount(principal)), arrived);
  assert.equal(await world.balance(withdrawingAccount(principal)), 0n, `${returned} came back`);
  assert.equal(await world.chain.balanceOf(key.address), PURSE_MICROS - sent + arrived, 'on the chain, too');
}
