/**
 * The watcher on a real chain and a real database.
 * Promise: whatever the chain does and whoever looks, each deposit is credited once and the asset accounts show what the chain holds.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Engine, readBalances, readStream } from '@tallystick/engine';
import { type Chain, openChain } from '@tallystick/engine/adapters/chain';
import { newAddress, startTestChain, type TestChain } from '@tallystick/engine/adapters/chain/testing';
import { newTestEngine } from '@tallystick/engine/testing';
import { chainAccount, reorgLossAccount, SUSPENSE, userAccount } from '@tallystick/kernel';
import { RULES } from '@tallystick/planes';
import { type AccountState, addressStream, type DepositState, depositIdOf, depositStream } from '@tallystick/treasury';
import { pino } from 'pino';
import { Watcher } from './watcher.ts';

const log = pino({ level: 'silent' });
const SWEEP_ABI = [
  {
    type: 'function',
    name: 'sweep',
    stateMutability: 'nonpayable',
    inputs: [
      { name: 'salts', type: 'bytes32[]' },
      { name: 'token', type: 'address' },
      { name: 'treasury', type: 'address' },
    ],
    outputs: [],
  },
] as const;

interface World extends AsyncDisposable {
  engine: Engine;
  test: TestChain;
  chain: Chain;
  watcher(confirmations?: number): Watcher;
  open(principal: string): Promise<void>;
  assign(principal: string): Promise<`0x${string}`>;
  balance(account: string): Promise<bigint>;
  deposit(tx: `0x${string}`): Promise<DepositState | undefined>;
}

async function newWorld(): Promise<World> {
  const [engine, testChain] = [await newTestEngine({ rules: RULES }), await startTestChain()];
  const chain = await openChain(testChain.config);
  const ask = async (stream: string, type: string, body = {}) => {
    const { rejection } = await engine.execute({ principal: 'platform', key: `${stream}${type}`, stream, type, body });
    assert.equal(rejection, undefined);
  };
  await ask('ledger:platform', 'OpenLedger', { providers: [] });
  return {
    engine,
    test: testChain,
    chain,
    watcher: (confirmations = 1) =>
      new Watcher({ engine, chain, confirmations, startBlock: 0n, chainIds: [1, chain.chainId], log }),
    open: (principal) => ask(`account:${principal}`, 'OpenAccount'),
    async assign(principal) {
      const address = chain.depositAddress(principal).toLowerCase() as `0x${string}`;
      await ask(addressStream(chain.key, address), 'AssignAddress', { rail: chain.key, address, principal });
      return address;
    },
    async balance(account) {
      const [row] = await readBalances(engine, [account]);
      return (row?.creditsPostedMicros ?? 0n) - (row?.debitsPostedMicros ?? 0n);
    },
    async deposit(tx) {
      const found = await readStream(engine, depositStream(depositIdOf(chain.key, { tx, ordinal: 0 })));
      return found?.state as unknown as DepositState | undefined;
    },
    async [Symbol.asyncDispose]() {
      await engine.settled();
      await engine[Symbol.asyncDispose]();
      await testChain[Symbol.asyncDispose]();
    },
  };
}

async function assertReserves({ chain, test: { config }, balance }: World, forwarders: readonly `0x${string}`[] = []) {
  const held = await Promise.all(forwarders.map((one) => chain.balanceOf(one)));
  const onChain = [await chain.balanceOf(config.treasury), held.reduce((sum, one) => sum + one, 0n)];
  const inLedger = [
    await balance(chainAccount(chain.key, 'treasury')),
    await balance(chainAccount(chain.key, 'forwarders')),
  ];
  assert.deepEqual(
    inLedger.map((micros) => -micros),
    onChain,
    'the ledger and the chain differ',
  );
}

test('[I-14] each door credits its principal once, however often and by however many it is looked at', async () => {
  await using world = await newWorld();
  const { test: given, chain } = world;
  const [ann, exchange] = [await given.wallet(1_000n), await given.wallet(1_000n)];
  const [annId, bobId] = [
    `eip155:1:${ann.address.toLowerCase()}`,
    'eip155:1:0x00000000000000000000000000000000000000bb',
  ];
  await world.open(annId);
  await world.open(bobId);
  const bobs = await world.assign(bobId);
  await given.pay(ann, given.config.treasury, 300n);
  await given.pay(exchange, bobs, 200n);
  await given.pay(exchange, given.config.treasury, 50n);
  const [one, two] = [world.watcher(), world.watcher()];
  await Promise.all([one.look(), two.look()]);
  await one.look();
  await world.watcher().look();
  const people = [annId, bobId, SUSPENSE];
  assert.deepEqual(await Promise.all(people.map((who) => world.balance(userAccount(who)))), [300n, 200n, 50n]);
  await assertReserves(world, [bobs]);
  const args = [[chain.saltOf(bobId)], chain.config.token, chain.config.treasury];
  await given.write(exchange, { address: chain.config.factory, abi: SWEEP_ABI, functionName: 'sweep', args } as never);
  await Promise.all([one.look(), two.look()]);
  await assertReserves(world, [bobs]);
  assert.equal(await world.balance(userAccount(bobId)), 200n);
});

test('a deposit is pending until it is deep enough', async () => {
  await using world = await newWorld();
  const ann = await world.test.wallet(1_000n);
  const principal = `eip155:1:${ann.address.toLowerCase()}`;
  await world.open(principal);
  const watcher = world.watcher(3);
  await watcher.look();
  const tx = await world.test.pay(ann, world.test.config.treasury, 300n);
  await watcher.look();
  assert.deepEqual([(await world.deposit(tx))?.status, await world.balance(userAccount(principal))], ['seen', 0n]);
  await world.test.mine(1);
  await watcher.look();
  assert.equal(await world.balance(userAccount(principal)), 0n);
  await world.test.mine(1);
  await watcher.look();
  await world.engine.settled();
  assert.deepEqual(
    [(await world.deposit(tx))?.status, await world.balance(userAccount(principal))],
    ['credited', 300n],
  );
});

test('a pending deposit that the chain forgets is gone; mined again elsewhere it is credited once', async () => {
  await using world = await newWorld();
  const ann = await world.test.wallet(1_000n);
  const principal = `eip155:1:${ann.address.toLowerCase()}`;
  await world.open(principal);
  const watcher = world.watcher(2);
  await watcher.look();
  const undo = await world.test.snapshot();
  const raw = await world.test.signPayment(ann, world.test.config.treasury, 300n);
  const tx = await world.test.send(raw);
  await watcher.look();
  await undo();
  await watcher.look();
  assert.equal((await world.deposit(tx))?.status, 'gone');
  await world.test.mine(1);
  await world.test.send(raw);
  await world.test.mine(1);
  await Promise.all([watcher.look(), world.watcher(2).look()]);
  await world.engine.settled();
  assert.deepEqual(
    [(await world.deposit(tx))?.status, await world.balance(userAccount(principal))],
    ['credited', 300n],
  );
  await assertReserves(world);
});

test('[I-01] a chain that takes a credited deposit back costs the platform, not its owner, until it is there again', async () => {
  await using world = await newWorld();
  const { test: given, chain } = world;
  const ann = await given.wallet(1_000n);
  const principal = `eip155:1:${ann.address.toLowerCase()}`;
  await world.open(principal);
  const watcher = world.watcher(1);
  await watcher.look();
  const undo = await given.snapshot();
  const raw = await given.signPayment(ann, given.config.treasury, 300n);
  const tx = await given.send(raw);
  await watcher.look();
  await world.engine.settled();
  await undo();
  await given.mine(2);
  await watcher.look();
  const told = async () => [
    (await world.deposit(tx))?.status,
    await world.balance(userAccount(principal)),
    await world.balance(reorgLossAccount(chain.key)),
  ];
  assert.deepEqual(await told(), ['reversed', 300n, -300n]);
  await assertReserves(world);
  await given.send(raw);
  await watcher.look();
  await world.engine.settled();
  assert.deepEqual(await told(), ['credited', 300n, 0n]);
  await assertReserves(world);
});

test('what was parked can be claimed by its payer', async () => {
  await using world = await newWorld();
  const ann = await world.test.wallet(1_000n);
  const principal = `eip155:1:${ann.address.toLowerCase()}`;
  const tx = await world.test.pay(ann, world.test.config.treasury, 300n);
  await world.watcher().look();
  await world.engine.settled();
  assert.equal((await world.deposit(tx))?.status, 'parked');
  await world.open(principal);
  const stream = `account:${principal}`;
  const body = { deposit_id: depositIdOf(world.chain.key, { tx, ordinal: 0 }) };
  const claimed = await world.engine.execute({ principal, key: 'claim', stream, type: 'ClaimDeposit', body });
  assert.equal(claimed.rejection, undefined);
  const { state } = (await readStream(world.engine, stream))!;
  assert.equal((state as unknown as AccountState).deposited_micros, '300');
  assert.equal(await world.balance(userAccount(principal)), 300n);
});

test('[I-17] a watcher that begins anew, or anywhere in between, credits nothing twice and misses nothing', async () => {
  await using world = await newWorld();
  const ann = await world.test.wallet(100_000n);
  const principal = `eip155:1:${ann.address.toLowerCase()}`;
  await world.open(principal);
  for (let n = 0; n < 12; n++) {
    await world.test.pay(ann, world.test.config.treasury, 10n);
    if (n % 3 === 0) await world.test.mine(2);
    const watcher = world.watcher(1 + (n % 3));
    const failing = Object.create(world.engine) as Engine; // dies at its n-th command
    let left = n % 5;
    failing.execute = (command) => (left-- > 0 ? world.engine.execute(command) : Promise.reject(new Error('died')));
    const { chain } = world;
    const dying = new Watcher({ engine: failing, chain, confirmations: 1, startBlock: 0n, chainIds: [1], log });
    await dying.look().catch(() => undefined);
    await watcher.look();
  }
  await world.test.mine(3);
  await world.watcher().look();
  assert.equal(await world.balance(userAccount(principal)), 120n);
  await assertReserves(world);
});

test('a stranger’s token and a transfer to nobody of ours leave no trace', async () => {
  await using world = await newWorld();
  const ann = await world.test.wallet(1_000n);
  const tx = await world.test.pay(ann, newAddress(), 300n);
  await world.watcher().look();
  assert.equal(await world.deposit(tx), undefined);
});
