/**
 * A whole treasury for tests: the embedded chain, a database, the real rules, meters that watch and send and may die.
 * Promise: nothing is faked but time; what the chain and the ledger hold is asked of both.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type Engine, type Outcome, readBalances, readStream } from '@tallystick/engine';
import { type Chain, openChain, roleSigner } from '@tallystick/engine/adapters/chain';
import { startTestChain, type TestChain } from '@tallystick/engine/adapters/chain/testing';
import { newTestEngine } from '@tallystick/engine/testing';
import { chainAccount, dayOf, type JsonObject, monthOf, userAccount } from '@tallystick/kernel';
import { RULES } from '@tallystick/planes';
import {
  addressStream,
  type RailState,
  railStream,
  type WithdrawalState,
  withdrawalStream,
} from '@tallystick/treasury';
import { pino } from 'pino';
import type { Address } from 'viem';
import type { PrivateKeyAccount } from 'viem/accounts';
import { Broadcaster, type BroadcasterOptions } from './broadcaster.ts';
import type { MarkWish } from './marks.ts';
import { keyOf, seedOf, TREASURY } from './testing.ts';
import { Watcher } from './watcher.ts';

const log = pino({ level: process.env['TEST_LOG'] ?? 'silent' });
const PROVIDER = 'local';
const GAS_REFERENCE = 'gas';

/** Somebody with an account, who deposits with its own key. */
export interface Person {
  principal: string;
  key: PrivateKeyAccount;
  /** Its deposit address. */
  forwarder: Address;
}

export interface TreasuryWorld extends AsyncDisposable {
  engine: Engine;
  test: TestChain;
  chain: Chain;
  /** What whoever looks for lapsed payments asks of watchers. */
  wish: MarkWish;
  watcher(confirmations?: number, engine?: Engine, chain?: Chain): Watcher;
  broadcaster(change?: Partial<BroadcasterOptions>): Broadcaster;
  person(micros: bigint): Promise<Person>;
  ask(stream: string, type: string, body?: JsonObject, principal?: string): Promise<Outcome>;
  withdraw(who: Person, micros: bigint, id: string, engine?: Engine): Promise<Outcome>;
  /** On the first minute of a machine: the money leaves the account and stays inside. How much it was; 0 without money. */
  spend(who: Person): Promise<bigint>;
  withdrawal(id: string): Promise<WithdrawalState | undefined>;
  rail(): Promise<RailState>;
  /** Credits minus debits. */
  balance(account: string): Promise<bigint>;
  /** What the chain and what the ledger says of treasury and deposit addresses. */
  reserves(): Promise<{ chain: [bigint, bigint]; ledger: [bigint, bigint] }>;
}

export async function newTreasuryWorld(): Promise<TreasuryWorld> {
  const [engine, test] = [await newTestEngine({ rules: RULES }), await startTestChain(TREASURY)];
  const chain = await openChain(test.config);
  for (const name of ['treasury', 'relayer'])
    await test.chain.faucet.give({
      ...{ to: keyOf(name).address, micros: 0n, reference: `${GAS_REFERENCE} ${name}` },
      withGas: true,
    });
  const signers = (['relayer', 'treasury'] as const).map((role) =>
    roleSigner({ role, seed: seedOf(role), chainId: chain.chainId, places: test.config }),
  );
  const forwarders: Address[] = [];
  const wish: MarkWish = { upTo: -1n };
  let asked = 0;
  const execute = (through: Engine, stream: string, type: string, body: JsonObject, principal: string) => {
    asked += 1;
    return through.execute({ principal, key: `ask ${asked}`, stream, type, body });
  };
  const world: TreasuryWorld = {
    ...{ engine, test, chain, wish },
    watcher: (confirmations = 1, through = engine, seen = chain) =>
      new Watcher({
        engine: through,
        chain: seen,
        confirmations,
        startBlock: 0n,
        chainIds: [chain.chainId],
        wish,
        log,
      }),
    broadcaster: (change = {}) =>
      new Broadcaster({
        ...{ engine, chain, signers, confirmations: 1, resendMs: 0, bumpMs: 60_000, onNews: () => undefined, log },
        ...change,
      }),
    ask: (stream, type, body = {}, principal = 'platform') => execute(engine, stream, type, body, principal),
    async person(micros) {
      const key = await test.wallet(micros);
      const principal = `eip155:${chain.chainId}:${key.address.toLowerCase()}`;
      const forwarder = chain.depositAddress(principal).toLowerCase() as Address;
      forwarders.push(forwarder);
      await world.ask(`account:${principal}`, 'OpenAccount');
      const assigned = { rail: chain.key, address: forwarder, principal };
      await world.ask(addressStream(chain.key, forwarder), 'AssignAddress', assigned);
      return { principal, key, forwarder };
    },
    withdraw({ principal, key }, micros, id, through = engine) {
      const body = {
        ...{ rail: chain.key, to: key.address.toLowerCase(), amount_micros: String(micros) },
        ...{ month: monthOf(engine.nowUs()), day: dayOf(engine.nowUs()) },
      };
      return execute(through, withdrawalStream(id), 'RequestWithdrawal', body, principal);
    },
    spend: (who) => buyMachine(world, who),
    ...readersOf(engine, chain, forwarders),
    async [Symbol.asyncDispose]() {
      await engine.settled();
      await engine[Symbol.asyncDispose]();
      await test[Symbol.asyncDispose]();
    },
  };
  const { rejection } = await world.ask('ledger:platform', 'OpenLedger', { providers: [PROVIDER] });
  assert.equal(rejection, undefined);
  return world;
}

/** What the ledger says, and beside it what the chain says. */
function readersOf(
  engine: Engine,
  chain: Chain,
  forwarders: readonly Address[],
): Pick<TreasuryWorld, 'withdrawal' | 'rail' | 'balance' | 'reserves'> {
  const balance = async (account: string): Promise<bigint> => {
    const [row] = await readBalances(engine, [account]);
    return (row?.creditsPostedMicros ?? 0n) - (row?.debitsPostedMicros ?? 0n);
  };
  return {
    balance,
    withdrawal: async (id) =>
      (await readStream(engine, withdrawalStream(id)))?.state as unknown as WithdrawalState | undefined,
    rail: async () => (await readStream(engine, railStream(chain.key)))!.state as unknown as RailState,
    async reserves() {
      const held = await Promise.all(forwarders.map((one) => chain.balanceOf(one)));
      return {
        chain: [await chain.balanceOf(TREASURY), held.reduce((sum, one) => sum + one, 0n)],
        ledger: [
          -(await balance(chainAccount(chain.key, 'treasury'))),
          -(await balance(chainAccount(chain.key, 'forwarders'))),
        ],
      };
    },
  };
}

export const balanceOf = (world: TreasuryWorld, { principal }: Person): Promise<bigint> =>
  world.balance(userAccount(principal));

/** What its owner says to open a machine, whose job is open then; the label is how it is found again. */
export async function machineFor(world: TreasuryWorld, { principal }: Person, label = ''): Promise<JsonObject> {
  const job = `job_of_${principal}`;
  const limits = { max_total_spend_micros: '1000000', ttl_ms: null, idle_timeout_ms: null, sandboxes_max: null };
  await world.ask(`job:${job}`, 'OpenJob', { label: '', ...limits }, principal);
  return { ...MACHINE, job, payer: principal, day: dayOf(world.engine.nowUs()), label };
}

async function buyMachine(world: TreasuryWorld, who: Person): Promise<bigint> {
  const before = await balanceOf(world, who);
  const body = await machineFor(world, who);
  await world.ask(`sandbox:sbx_${randomUUID()}`, 'OpenSandbox', body, who.principal);
  return before - (await balanceOf(world, who));
}

const MACHINE: JsonObject = {
  ...{ provider: PROVIDER, isolation: 'ns', image: '', image_digest: 'd'.repeat(64) },
  ...{ security_mode: 'standard', cpu_millis: 600, ram_mib: 1_024, disk_mib: 4_096 },
  ...{ max_spend_micros: null, ttl_ms: null, idle_timeout_ms: null, quantum_ms: null },
  ...{ default_quantum_ms: 60_000, grace_ms: 120_000, incarnation: 1 },
};
