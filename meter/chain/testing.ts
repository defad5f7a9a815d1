/**
 * A chain, a database and hands for tests of what leaves the house: payouts, keys with gas, meters that die.
 * Promise: a meter that died stays dead: nothing it still does reaches the chain or the database.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type Engine, readStream } from '@tallystick/engine';
import { type Chain, openChain, roleSigner } from '@tallystick/engine/adapters/chain';
import { newAddress, startTestChain, type TestChain } from '@tallystick/engine/adapters/chain/testing';
import { newTestEngine } from '@tallystick/engine/testing';
import type { Decider, DomainEvent, JsonObject } from '@tallystick/kernel';
import { RULES } from '@tallystick/planes';
import {
  BROADCAST_TOPIC,
  type Broadcast,
  broadcastReads,
  decideBroadcast,
  evolveBroadcast,
  isBroadcastCommand,
  NO_BROADCAST,
} from '@tallystick/treasury';
import { pino } from 'pino';
import type { Address } from 'viem';
import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts';
import { Broadcaster, type BroadcasterOptions } from './broadcaster.ts';

const log = pino({ level: process.env['TEST_LOG'] ?? 'silent' });

export const seedOf = (name: string): Buffer => createHash('sha256').update(`test ${name}`).digest();
export const keyOf = (name: string): PrivateKeyAccount => privateKeyToAccount(`0x${seedOf(name).toString('hex')}`);
export const TREASURY = keyOf('treasury').address.toLowerCase() as Address;
/** What the treasury has from nobody known. */
export const FLOAT_MICROS = 1_000_000n;

/** The least that leads to a transfer: no account behind it, only the transaction. */
export type PayoutState = { status: string; rail: string; to: string; amount_micros: string; broadcast: Broadcast };

const payout: Decider<PayoutState> = {
  kind: 'withdrawal',
  initial: { status: '', rail: '', to: '', amount_micros: '0', broadcast: NO_BROADCAST },
  reads: (command) => (isBroadcastCommand(command) ? broadcastReads(command) : {}),
  decide(state, command, seen) {
    if (isBroadcastCommand(command)) return decideBroadcast(state.broadcast, command, seen);
    const outbox = [{ topic: BROADCAST_TOPIC, body: { stream: command.stream } }];
    return { events: [{ type: 'Held', body: command.body }], outbox };
  },
  evolve(state, event: DomainEvent) {
    if (event.type === 'Held') return { ...state, ...(event.body as Partial<PayoutState>), status: 'held' };
    const broadcast = evolveBroadcast(state.broadcast, event);
    return { ...state, broadcast, status: broadcast.phase === 'failed' ? 'returned' : broadcast.phase };
  },
  owner: () => null,
};

export interface PayoutWorld extends AsyncDisposable {
  engine: Engine;
  test: TestChain;
  chain: Chain;
  /** A meter's broadcaster; a changed option replaces the usual one. */
  broadcaster(change?: Partial<BroadcasterOptions>): Broadcaster;
  /** One that dies at its n-th point (0: the first), and whether it has. */
  mortal(point: number, change?: Partial<BroadcasterOptions>): { broadcaster: Broadcaster; hasDied(): boolean };
  /** Answers with the stream. */
  hold(id: string, to: Address, micros: bigint): Promise<string>;
  ask(stream: string, type: string, body: JsonObject, principal?: string): Promise<void>;
  state<S = PayoutState>(stream: string): Promise<S>;
  automine(isOn: boolean): Promise<void>;
}

export async function newPayoutWorld(): Promise<PayoutWorld> {
  const deciders = new Map([...RULES.deciders, [payout.kind, payout as unknown as Decider]]);
  const [engine, given] = [await newTestEngine({ rules: { ...RULES, deciders } }), await startTestChain(TREASURY)];
  const chain = await openChain(given.config);
  for (const [name, micros] of [
    ['treasury', FLOAT_MICROS],
    ['relayer', 0n],
  ] as const)
    await given.chain.faucet.give({ to: keyOf(name).address, micros, reference: name, withGas: true });
  const signers = (['relayer', 'treasury'] as const).map((role) =>
    roleSigner({ role, seed: seedOf(role), chainId: chain.chainId, places: given.config }),
  );
  const timing = { confirmations: 1, resendMs: 0, bumpMs: 60_000 };
  const usual = { engine, chain, signers, ...timing, onNews: () => undefined, log };
  let asked = 0;
  const ask: PayoutWorld['ask'] = async (stream, type, body, principal = 'platform') => {
    asked += 1;
    const { rejection } = await engine.execute({ principal, key: `ask ${asked}`, stream, type, body });
    assert.equal(rejection, undefined, `${type} of ${stream}`);
  };
  return {
    engine,
    test: given,
    chain,
    ask,
    broadcaster: (change = {}) => new Broadcaster({ ...usual, ...change }),
    mortal: (point, change = {}) => mortalOf({ ...usual, ...change }, point),
    async hold(id, to, micros) {
      const stream = `withdrawal:${id}`;
      await ask(stream, 'Hold', { rail: chain.key, to: to.toLowerCase(), amount_micros: String(micros) });
      return stream;
    },
    state: async <S>(stream: string) => (await readStream(engine, stream))!.state as unknown as S,
    async automine(isOn) {
      await given.chain.evm.request({ method: 'evm_setAutomine', params: [isOn] });
    },
    async [Symbol.asyncDispose]() {
      await engine.settled();
      await engine[Symbol.asyncDispose]();
      await given[Symbol.asyncDispose]();
    },
  };
}

/** A life that ends at its n-th point (0: the first), or when it comes to the point of that name. */
export interface Mortality {
  fault: (point: string) => void;
  /** The same, with a point before and after everything that is asked of it. */
  mortal<T extends object>(one: T): T;
  hasDied(): boolean;
}

/** The clock, and what is computed. */
const ASKS_NOBODY = new Set<string | symbol>(['nowUs', 'saltOf', 'depositAddress']);

export function mortality(point: number | string): Mortality {
  let left = typeof point === 'number' ? point : Number.POSITIVE_INFINITY;
  let isDead = false;
  const fault = (at: string): void => {
    if (isDead || left === 0 || at === point) {
      isDead = true;
      throw new Error(`died at ${at}`);
    }
    left -= 1;
  };
  const mortal = <T extends object>(one: T): T =>
    new Proxy(one, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== 'function') return member;
        if (ASKS_NOBODY.has(name)) return member.bind(target);
        return async (...values: unknown[]) => {
          fault(`before ${String(name)}`);
          const answer: unknown = await (member as (...all: unknown[]) => unknown).apply(target, values);
          fault(`after ${String(name)}`);
          return answer;
        };
      },
    });
  return { fault, mortal, hasDied: () => isDead };
}

function mortalOf(options: BroadcasterOptions, point: number): ReturnType<PayoutWorld['mortal']> {
  const { fault, mortal, hasDied } = mortality(point);
  const [engine, chain] = [mortal(options.engine), mortal(options.chain)];
  return { broadcaster: new Broadcaster({ ...options, engine, chain, fault }), hasDied };
}

export const fresh = newAddress;

/** Asserts that it became true within a bounded number of rounds; each round does `step`. */
export async function untilTrue(
  isTrue: () => Promise<boolean>,
  step: () => Promise<unknown>,
  rounds = 50,
): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    if (await isTrue()) return;
    await step();
  }
  assert.fail(`not after ${rounds} rounds`);
}
