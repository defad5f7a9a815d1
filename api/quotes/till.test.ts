// Requests that cost money, on a real database and a real chain: keys that are used up, queues that are full, wallets that promise twice.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Engine, streamReader } from '@tallystick/engine';
import { type Chain, openChain } from '@tallystick/engine/adapters/chain';
import { startTestChain, type TestChain } from '@tallystick/engine/adapters/chain/testing';
import { NOT_TAKEN, newTestEngine, overhearing } from '@tallystick/engine/testing';
import { type Decider, type JsonObject, userAccount, WORLD_DEPOSITS } from '@tallystick/kernel';
import { RULES } from '@tallystick/planes';
import { ApiRefusal, type Call } from '@tallystick/surface';
import { quoteStream } from '@tallystick/treasury';
import { commandFrom, REPEATS_UNFUNDED_MAX } from '../outcome.ts';
import { callOf, signedPayment, tillOf } from '../testing.ts';
import { quoteOf, untilOver } from './quotes.ts';
import { executeCharging, type Till, topUp } from './till.ts';

const ANN = 'eip155:1:0x00000000000000000000000000000000000000aa';
const STALL = 'stall:main';
const CENT_MICROS = 10_000n;

type StallState = { price: string };
type Wallet = Awaited<ReturnType<TestChain['wallet']>>;

/** Sells one thing, at a price that changes. */
const stall: Decider<StallState> = {
  kind: 'stall',
  initial: { price: '0' },
  reads: ({ principal }) => ({ accounts: [userAccount(principal)] }),
  decide({ price }, { type, body, principal }, seen) {
    if (type === 'SetPrice') return { events: [{ type: 'PriceSet', body }] };
    const available = seen.availableMicros(userAccount(principal)) ?? 0n;
    if (available < BigInt(price))
      return {
        rejection: 'INSUFFICIENT_FUNDS',
        facts: { required_micros: price, available_micros: String(available) },
      };
    const posting = { asset: 'usd', debit: userAccount(principal), credit: WORLD_DEPOSITS } as const;
    return {
      events: [{ type: 'Sold', body: {} }],
      postings: [{ ...posting, amountMicros: BigInt(price) }],
      answer: {},
    };
  },
  evolve: (state, { type, body }) => (type === 'PriceSet' ? { price: String(body['price']) } : state),
  owner: () => null,
};

interface World extends AsyncDisposable {
  engine: Engine;
  given: TestChain;
  till: Till;
  /** Its queue is full for the next command of this type. */
  refuseNext(type: string): void;
  price(micros: bigint): Promise<void>;
  deposit(micros: bigint): Promise<void>;
  call(key: string, payment?: string): Call;
  /** Buys at the stall. */
  buy(key: string, payment?: string): Promise<unknown>;
  /** What a call of `topUp` threw. */
  topUp(key: string, payment?: string): Promise<ApiRefusal>;
  /** The header by which the wallet pays what was offered for the key. */
  signed(wallet: Wallet, key: string): Promise<string>;
}

async function newWorld(change: Partial<Chain> = {}): Promise<World> {
  const deciders = new Map([...RULES.deciders, [stall.kind, stall as unknown as Decider]]);
  const [real, given] = [await newTestEngine({ rules: { ...RULES, deciders } }), await startTestChain()];
  const chain = { ...(await openChain(given.config)), ...change };
  const full = new Set<string>();
  const engine = withFullQueue(real, full);
  const till = { ...tillOf(engine, chain, ''), gas: { isEnough: async () => true, settlements: async () => 100n } };
  let asked = 0;
  const ask = async (stream: string, type: string, body: JsonObject): Promise<void> => {
    asked += 1;
    const { rejection } = await real.execute({ principal: 'platform', key: `ask ${asked}`, stream, type, body });
    assert.equal(rejection, undefined, type);
  };
  await ask('ledger:platform', 'OpenLedger', { providers: [] });
  await ask(`account:${ANN}`, 'OpenAccount', {});
  const said = (key: string, payment?: string): Call =>
    callOf({ principal: ANN, key, payment, signal: AbortSignal.timeout(200) });
  return {
    ...{ engine, given, till, call: said },
    refuseNext: (type) => void full.add(type),
    price: (micros) => ask(STALL, 'SetPrice', { price: String(micros) }),
    deposit: (micros) =>
      ask(`account:${ANN}`, 'CreditDeposit', {
        ...{ deposit_id: `dep_${asked}`, amount_micros: String(micros), source: 'development', reference: '' },
      }),
    buy: (key, payment) => {
      const call = said(key, payment);
      return executeCharging(till, call, commandFrom(call, { stream: STALL, type: 'Buy', body: {} }));
    },
    topUp: (key, payment) => refusalOf(topUp(till, said(key, payment), CENT_MICROS)),
    async signed(wallet, key) {
      const quote = (await quoteOf(real, said(key)))!;
      return signedPayment(given, wallet, quote);
    },
    async [Symbol.asyncDispose]() {
      await real[Symbol.asyncDispose]();
      await given[Symbol.asyncDispose]();
    },
  };
}

const withFullQueue = (engine: Engine, full: Set<string>): Engine =>
  overhearing(engine, async ({ type }) => (full.delete(type) ? NOT_TAKEN : undefined));

const refusalOf = (work: Promise<unknown>): Promise<ApiRefusal> =>
  work.then(
    () => assert.fail('it was not refused'),
    (fault: unknown) => {
      if (!(fault instanceof ApiRefusal)) throw fault;
      return fault;
    },
  );
const isOffer = ({ headers }: ApiRefusal): boolean => headers['payment-required'] !== undefined;

test('what is asked for is what is missing now; a key that is used up asks for nothing any more', async () => {
  await using world = await newWorld();
  let price = 1n;
  await world.price(price);
  for (let link = 0; link < REPEATS_UNFUNDED_MAX; link += 1) {
    const { facts, ...refusal } = await refusalOf(world.buy('k'));
    assert.deepEqual([facts['required_micros'], isOffer(refusal as ApiRefusal)], [String(price), true], `link ${link}`);
    await world.deposit(1n); // enough for what it was told, and by now it costs more
    price += 1n;
    await world.price(price);
  }
  for (const time of [1, 2]) {
    const refusal = await refusalOf(world.buy('k'));
    assert.deepEqual([refusal.code, isOffer(refusal)], ['INSUFFICIENT_FUNDS', false], `time ${time}`);
    assert.match(refusal.message, /new key/);
  }
  await world.deposit(1n);
  assert.equal((await refusalOf(world.buy('k'))).code, 'INSUFFICIENT_FUNDS');
  await world.buy('another');
});

test('a refusal that was kept is not what is asked for when a later one is known', async () => {
  await using world = await newWorld();
  await world.price(5n);
  for (let time = 0; time < 12; time += 1) await refusalOf(world.buy('k'));
  await world.price(9n);
  await world.deposit(5n);
  assert.equal((await refusalOf(world.buy('k'))).facts['required_micros'], '9');
  await world.deposit(1n);
  assert.deepEqual((await refusalOf(world.buy('k'))).facts, {
    ...(await refusalOf(world.buy('k'))).facts,
    ...{ required_micros: '9', available_micros: '6', shortfall_micros: '3' },
  });
});

test('a queue that is full at any step of a payment stops it for that call, not for ever', async () => {
  await using world = await newWorld();
  const wallet = await world.given.wallet(CENT_MICROS);
  world.refuseNext('OfferQuote');
  assert.equal((await world.topUp('k')).code, 'QUEUE_FULL');
  assert.equal(isOffer(await world.topUp('k')), true);
  const header = await world.signed(wallet, 'k');
  for (const type of ['AssignAuthorization', 'BindQuote']) {
    world.refuseNext(type);
    assert.equal((await world.topUp('k', header)).code, 'QUEUE_FULL', type);
  }
  assert.equal((await world.topUp('k', header)).code, 'PAYMENT_SETTLING');
  assert.equal((await quoteOf(world.engine, world.call('k')))!.status, 'bound');
});

test('[I-45] a wallet that has money for one payment has one bound; the other is taken when there is more', async () => {
  await using world = await newWorld();
  const wallet = await world.given.wallet(CENT_MICROS);
  for (const key of ['a', 'b']) await world.topUp(key);
  const [a, b] = [await world.signed(wallet, 'a'), await world.signed(wallet, 'b')];
  assert.equal((await world.topUp('a', a)).code, 'PAYMENT_SETTLING');
  const refused = await world.topUp('b', b);
  assert.deepEqual([refused.code, refused.facts['field']], ['PAYMENT_INVALID', 'value']);
  await world.given.pay(await world.given.wallet(CENT_MICROS), wallet.address, CENT_MICROS);
  assert.equal((await world.topUp('b', b)).code, 'PAYMENT_SETTLING');
});

test('a wallet that holds too little is told so with both amounts, whatever its token says to it; filled, it pays the same', async () => {
  for (const change of [{}, { simulateAuthorization: async () => 'ERC20: transfer amount exceeds balance' }]) {
    await using world = await newWorld(change);
    const wallet = await world.given.wallet(CENT_MICROS - 1n);
    await world.topUp('k');
    const header = await world.signed(wallet, 'k');
    const { code, facts } = await world.topUp('k', header);
    const cause = `its payer ${wallet.address.toLowerCase()} holds $0.009999, and $0.01 is to be paid`;
    assert.deepEqual([code, facts], ['PAYMENT_INVALID', { field: 'authorization', cause }]);
    await world.given.pay(await world.given.wallet(1n), wallet.address, 1n);
    const again = await world.topUp('k', header);
    assert.equal(again.code, change.simulateAuthorization ? 'PAYMENT_INVALID' : 'PAYMENT_SETTLING');
  }
});

test('many who wait for payments look together, however much is committed meanwhile', async () => {
  await using world = await newWorld();
  await world.topUp('k');
  const wallet = await world.given.wallet(CENT_MICROS);
  await world.topUp('k', await world.signed(wallet, 'k'));
  const { id } = (await quoteOf(world.engine, world.call('k')))!;
  let [reads, looks] = [0, 0];
  const counting = new Proxy(world.engine, {
    get(target, name) {
      const member = Reflect.get(target, name);
      if (name === 'query') reads += 1;
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
  const look = streamReader(counting);
  const counted: Till['look'] = (stream) => {
    looks += 1;
    return look(stream);
  };
  const waiting = Array.from({ length: 50 }, () => refusalOf(untilOver(counted, world.call('k'), id)));
  for (let price = 1n; price <= 40n; price += 1n) await world.price(price);
  assert.ok((await Promise.all(waiting)).every(({ code }) => code === 'PAYMENT_SETTLING'));
  assert.equal((await look(quoteStream(id)))?.state['status'], 'bound');
  assert.ok(reads * 5 <= looks, `${reads} questions to the database for ${looks} looks`);
  assert.ok(looks <= 50 * 25, `${looks} looks`);
});
