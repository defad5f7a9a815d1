/**
 * Random histories of a whole treasury: people deposit, ask for what costs money, pay what they are told, spend and withdraw; apis and
 * meters die at any step, and the chain forgets.
 * Promise: at the end of each, however it went, the laws of `treasury-laws.ts` hold.
 */
import assert from 'node:assert/strict';
import { isUnderWay } from '@tallystick/api/testing';
import { ChainFault } from '@tallystick/engine/adapters/chain';
import { userAccount } from '@tallystick/kernel';
import {
  type Broadcaster,
  lapseQuotes,
  mortality,
  newTreasuryWorld,
  type Person,
  Sweeper,
  TREASURY,
  type TreasuryWorld,
  type Watcher,
} from '@tallystick/meter/testing';
import { type QuoteState, withdrawalStream } from '@tallystick/treasury';
import fc from 'fast-check';
import { pino } from 'pino';
import type { Hex } from 'viem';
import { type StepOf, send } from './charged-requests.ts';
import { later, newPayers, type PayerStep, type Payers, payerSteps, takePayerStep } from './payer-steps.ts';
import { allOf, assertLaws, assertReleased, type Purse } from './treasury-laws.ts';

type HouseStep =
  | StepOf<'deposit' | 'forward' | 'withdraw', { who: number; cents: bigint }>
  | StepOf<'spend' | 'cancel' | 'withdraw-all', { who: number }>
  | StepOf<'sweep' | 'look' | 'carry' | 'remember' | 'forget' | 'forget-and-pay-again' | 'restart'>
  | StepOf<'mine', { blocks: number }>
  | StepOf<'die-watching' | 'die-carrying', { point: number }>;

/** What another meter does at that very time. */
type BesideStep = StepOf<'beside', { other: OtherLook; step: HouseStep | PayerStep }>;
type OtherLook = 'look' | 'carry' | 'sweep' | 'lapse';

export type Step = HouseStep | PayerStep | BesideStep;

const CENT = 10_000n;
const PEOPLE = 2;
const PURSE_MICROS = 100_000n * CENT;
/** Of somebody who withdraws nothing: the treasury can pay whatever the chain forgets. */
const FLOAT_MICROS = 10_000n * CENT;
const ROUNDS_MAX = 80;
/** Before time goes on, and payments grow too old. */
const ROUNDS_IN_TIME = 8;
const log = pino({ level: process.env['TEST_LOG'] ?? 'silent' });

const who = fc.nat({ max: PEOPLE - 1 });
const cents = fc.bigInt({ min: 1n, max: 400n });
const moved = (what: 'deposit' | 'forward' | 'withdraw'): fc.Arbitrary<HouseStep> =>
  fc.record({ do: fc.constant(what), who, cents });
const PLAIN = [
  'sweep',
  'look',
  'carry',
  'look',
  'carry',
  'remember',
  'forget',
  'forget-and-pay-again',
  'restart',
] as const;

const houseSteps: fc.Arbitrary<HouseStep> = fc.oneof(
  { weight: 4, arbitrary: moved('deposit') },
  { weight: 3, arbitrary: moved('forward') },
  { weight: 4, arbitrary: moved('withdraw') },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('withdraw-all' as const), who }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('spend' as const, 'cancel' as const), who }) },
  { weight: 11, arbitrary: fc.record({ do: fc.constantFrom(...PLAIN) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('mine' as const), blocks: fc.integer({ min: 1, max: 3 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('die-watching' as const, 'die-carrying' as const),
      point: fc.nat({ max: 40 }),
    }),
  },
);

const aloneSteps: fc.Arbitrary<HouseStep | PayerStep> = fc.oneof(houseSteps, payerSteps(PEOPLE));

/** One after the other. */
export const steps: fc.Arbitrary<Step> = aloneSteps;

const others = fc.constantFrom<OtherLook[]>('look', 'carry', 'sweep', 'lapse');

/** Also at once: two meters look, and what people and the chain do happens meanwhile. */
export const racingSteps: fc.Arbitrary<Step> = fc.oneof<fc.Arbitrary<Step>[]>(
  aloneSteps,
  fc.record({ do: fc.constant('beside' as const), other: others, step: aloneSteps }),
);

/** What is needed of a history besides its world. */
interface History {
  world: TreasuryWorld;
  people: Person[];
  payers: Payers;
  confirmations: number;
  watcher: Watcher;
  carrier: Broadcaster;
  /** Another meter on the same chain and database. */
  other: { watcher: Watcher; carrier: Broadcaster };
  withdrawals: string[];
  /** Undoes what came after it, how long the chain was, and what people have sent to it since. */
  memory: { undo(): Promise<void>; height: bigint; sent: Hex[] } | undefined;
}

/** One history from its beginning to its quiet end, with everything that must hold there. */
export async function live(history: readonly Step[], confirmations: number): Promise<void> {
  await using world = await newTreasuryWorld();
  const people = await Promise.all(Array.from({ length: PEOPLE }, () => world.person(PURSE_MICROS)));
  const house = await world.person(FLOAT_MICROS);
  await world.test.pay(house.key, TREASURY, FLOAT_MICROS);
  const payers = await newPayers(world, people, { confirmations, purseMicros: PURSE_MICROS });
  await world.test.mine(confirmations);
  const told: History = {
    ...{ world, people, payers, confirmations, withdrawals: [], memory: undefined },
    watcher: world.watcher(confirmations),
    carrier: world.broadcaster({ confirmations }),
    other: { watcher: world.watcher(confirmations), carrier: world.broadcaster({ confirmations }) },
  };
  await lookThrough(told.watcher);
  for (const step of history) {
    await take(told, step);
    const { withdrawals_stopped } = await world.rail();
    assert.notEqual(withdrawals_stopped, true, `withdrawals were stopped after ${JSON.stringify(step, textOf)}`);
  }
  await settle(told);
  await askOnceMore(told);
  const purses: Purse[] = [...people.map(({ key }) => key), payers.patron].map(({ address }) => ({
    ...{ address, micros: PURSE_MICROS },
  }));
  await assertLaws(world, { people, purses, requests: payers.requests });
  await assertReleased(world, told.withdrawals);
}

const textOf = (_name: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);

async function take(told: History, step: Step): Promise<void> {
  const { world, people, watcher, carrier } = told;
  if (step.do === 'die-watching' || step.do === 'die-carrying') return die(told, step.do, step.point);
  if (step.do === 'deposit' || step.do === 'forward') return deposit(told, people[step.who]!, step);
  if (step.do === 'withdraw') return withdraw(told, people[step.who]!, step.cents * CENT);
  if (step.do === 'withdraw-all') return withdrawAll(told, people[step.who]!);
  if (step.do === 'spend') return void (await world.spend(people[step.who]!));
  if (step.do === 'cancel') return cancel(told, people[step.who]!);
  if (step.do === 'mine') return world.test.mine(step.blocks);
  if (step.do === 'look') return lookThrough(watcher);
  if (step.do === 'carry') return carrier.look();
  if (step.do === 'sweep') return new Sweeper({ ...world, minMicros: CENT, log }).look();
  if (step.do === 'remember') return remember(told);
  if (step.do === 'forget' || step.do === 'forget-and-pay-again') return forget(told, step.do !== 'forget');
  if (step.do === 'restart') return restart(told);
  if (step.do === 'beside') return beside(told, step);
  return takePayerStep(told.payers, step);
}

async function beside(told: History, { other, step }: BesideStep): Promise<void> {
  const looking = otherLook(told, other);
  await Promise.all([take(told, step), step.do.startsWith('forget') ? looking.catch(sawItChange) : looking]);
}

/** A chain that forgets while it is looked through is looked through again. @errors rejects with any other fault */
function sawItChange(fault: unknown): void {
  if (!(fault instanceof ChainFault)) throw fault;
}

async function otherLook({ world, other, confirmations }: History, what: OtherLook): Promise<void> {
  const { engine, wish } = world;
  const looking = {
    look: () => lookThrough(other.watcher),
    carry: () => other.carrier.look(),
    sweep: () => new Sweeper({ ...world, minMicros: CENT, log }).look(),
    lapse: () => lapseQuotes(world.chain, { engine, confirmations, wish }),
  };
  await looking[what]();
}

function restart(told: History): void {
  told.watcher = told.world.watcher(told.confirmations);
  told.carrier = told.world.broadcaster({ confirmations: told.confirmations });
}

async function lookThrough(watcher: Watcher): Promise<void> {
  await watcher.look();
  await watcher.checkReserves();
}

async function deposit({ world, memory }: History, person: Person, step: { do: string; cents: bigint }): Promise<void> {
  const to = step.do === 'deposit' ? TREASURY : person.forwarder;
  const raw = await world.test.signPayment(person.key, to, step.cents * CENT);
  await world.test.send(raw);
  memory?.sent.push(raw);
}

async function withdraw(told: History, person: Person, micros: bigint): Promise<void> {
  const id = `wdr_${String(told.withdrawals.length).padStart(32, '0')}`;
  const { rejection } = await told.world.withdraw(person, micros, id);
  if (rejection === undefined) told.withdrawals.push(id);
  else assert.equal(rejection, 'WITHDRAWAL_OVER_BALANCE');
}

/** What is there, when it is enough to be paid out. */
async function withdrawAll(told: History, person: Person): Promise<void> {
  const micros = await told.world.balance(userAccount(person.principal));
  if (micros >= CENT) await withdraw(told, person, micros);
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
  told.memory ??= { undo: await told.world.test.snapshot(), height, sent: [] };
}

/** Other blocks win, more of them than were lost; what people had sent stands in them later, or never. */
async function forget(told: History, isSentAgain: boolean): Promise<void> {
  const { memory, world } = told;
  if (!memory) return;
  told.memory = undefined;
  const lost = (await world.chain.head()).number - memory.height;
  await memory.undo();
  await world.test.mine(1);
  if (isSentAgain) for (const raw of memory.sent) await world.test.send(raw).catch(refusedByChain);
  await world.test.mine(Number(lost));
}

/** Another transaction of its sender was forgotten, too. @errors rejects with the fault unless the chain says so */
function refusedByChain(fault: Error): void {
  if (!/nonce/i.test(fault.message)) throw fault;
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
  const { engine, wish, chain: onChain } = world;
  const [watcher, carrier] = [world.watcher(confirmations), world.broadcaster({ confirmations })];
  for (let round = 0; round < ROUNDS_MAX; round++) {
    await carrier.look();
    await (round < ROUNDS_IN_TIME ? world.test.mine(1) : later(world));
    await lookThrough(watcher);
    assert.notEqual((await world.rail()).withdrawals_stopped, true, 'withdrawals were stopped at the end');
    await lapseQuotes(onChain, { engine, confirmations, wish });
    await engine.settled();
    const { chain, ledger } = await world.reserves();
    if (round > confirmations && String(chain) === String(ledger) && (await isQuiet(told))) return;
  }
}

async function isQuiet({ world, withdrawals }: History): Promise<boolean> {
  const states = await Promise.all(withdrawals.map((id) => world.withdrawal(id)));
  const isEnded = states.every((state) => state!.status === 'final' || state!.status === 'returned');
  return isEnded && !(await allOf<QuoteState>(world, 'quote')).some(isUnderWay);
}

/** Whoever still waits for an answer gets one: it is carried out, or it is told what to pay, and nobody is told to wait. */
async function askOnceMore({ world, payers }: History): Promise<void> {
  for (const request of payers.requests) {
    const wasDone = request.results.size > 0;
    const [answer] = await send(world, payers.till, request);
    assert.notEqual(answer, 'settling', `${request.key} waits for nothing`);
    if (wasDone) assert.equal(answer, 'done', `${request.key} was carried out`);
  }
}
