/**
 * Payments for quotes on a real chain and a real database, from the binding to the credit.
 * Promise: whoever dies at whichever point, whoever carries the payment and whatever the chain forgets, it is credited once.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readBalances } from '@tallystick/engine';
import type { Authorization } from '@tallystick/engine/adapters/chain';
import { cancelAuthorization, carryAuthorization, signAuthorization } from '@tallystick/engine/adapters/chain/testing';
import { SUSPENSE, userAccount } from '@tallystick/kernel';
import {
  authorizationStream,
  type DepositState,
  depositStream,
  type Payment,
  type QuoteState,
  quoteIdOf,
  quoteStream,
} from '@tallystick/treasury';
import { pino } from 'pino';
import { type Hex, toHex } from 'viem';
import type { PrivateKeyAccount } from 'viem/accounts';
import { lapseQuotes } from './lapse.ts';
import { mortality, newPayoutWorld, type PayoutWorld, untilTrue } from './testing.ts';
import { Watcher, type WatcherOptions } from './watcher.ts';

const ANN = 'eip155:1:0x00000000000000000000000000000000000000aa';
const CENT_MICROS = 10_000n;
const USABLE_S = 300;
const PURSE_MICROS = 10_000_000n;
const POINTS_MAX = 400;
/** One point in so many; each takes a whole payment. `TALLY_CRASH_STEP=1` tries all. */
const POINT_STEP = Number(process.env['TALLY_CRASH_STEP'] ?? 11);
const log = pino({ level: 'silent' });

interface World {
  world: PayoutWorld;
  payer: PrivateKeyAccount;
  watcher(change?: Partial<WatcherOptions>): Watcher;
  credited(principal?: string): Promise<bigint>;
}

async function newWorld(): Promise<World & AsyncDisposable> {
  const world = await newPayoutWorld();
  const { engine, chain } = world;
  await world.ask('ledger:platform', 'OpenLedger', { providers: [] });
  await world.ask(`account:${ANN}`, 'OpenAccount', {});
  const usual = { engine, chain, confirmations: 1, startBlock: 0n, chainIds: [1], log };
  return {
    world,
    payer: await world.test.wallet(PURSE_MICROS),
    watcher: (change = {}) => new Watcher({ ...usual, ...change }),
    async credited(principal = ANN) {
      return (await readBalances(engine, [userAccount(principal)]))[0]?.creditsPostedMicros ?? 0n;
    },
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  };
}

interface Bound {
  id: string;
  payment: Payment;
  authorization: Authorization;
}

let asked = 0;

/** Offered, signed, assigned; bound unless told otherwise. */
async function bound({ world, payer }: World, { usableS = USABLE_S, isBound = true } = {}): Promise<Bound> {
  asked += 1;
  const { chain, test: given } = world;
  const { treasury, token } = given.config;
  const id = quoteIdOf(ANN, `key-${asked}`);
  const body = { key: `key-${asked}`, fingerprint: '0'.repeat(64), rail: chain.key, network: '', token };
  const options = [{ amount_micros: String(CENT_MICROS), label: 'shortfall' }];
  await world.ask(quoteStream(id), 'OfferQuote', { ...body, options, pay_to: treasury.toLowerCase() }, ANN);
  const { auth_nonce } = await world.state<QuoteState>(quoteStream(id));
  const validBefore = BigInt(Math.floor(Date.now() / 1_000) + usableS);
  const terms = { value: CENT_MICROS, validBefore, nonce: auth_nonce as Hex };
  const authorization = await signAuthorization(given, payer, terms);
  const from = payer.address.toLowerCase();
  const times = { valid_after: '0', valid_before: String(validBefore) };
  const payment = {
    from,
    to: treasury.toLowerCase(),
    value: String(CENT_MICROS),
    ...times,
    nonce: auth_nonce,
    signature: authorization.signature,
  };
  const assignment = { rail: chain.key, payer: from, nonce: auth_nonce, quote: id };
  await world.ask(authorizationStream(chain.key, from, auth_nonce), 'AssignAuthorization', assignment, ANN);
  const cover_micros = String(PURSE_MICROS);
  if (isBound) await world.ask(quoteStream(id), 'BindQuote', { rail: chain.key, payment, cover_micros }, ANN);
  return { id, payment, authorization };
}

const quoteOf = (world: PayoutWorld, { id }: Bound): Promise<QuoteState> => world.state<QuoteState>(quoteStream(id));

/** The way of a payment: carried, seen, credited, concluded. */
async function settled({ world, watcher }: World, one: Bound): Promise<QuoteState> {
  const [broadcaster, look] = [world.broadcaster(), watcher()];
  await untilTrue(
    async () => (await quoteOf(world, one)).status === 'paid',
    async () => {
      await broadcaster.look();
      await look.look();
      await world.engine.settled();
    },
  );
  return quoteOf(world, one);
}

test('[I-40] a bound payment is carried, credited to the quote’s principal, and the quote is paid', async () => {
  await using all = await newWorld();
  const one = await bound(all);
  const { deposit_id, amount_micros, broadcast } = await settled(all, one);
  assert.deepEqual([amount_micros, broadcast.phase], [String(CENT_MICROS), 'final']);
  const found = await all.world.state<DepositState>(depositStream(deposit_id));
  assert.deepEqual([found.principal, found.quote_id, found.status], [ANN, one.id, 'credited']);
  assert.equal(await all.credited(), CENT_MICROS);
});

test('[I-40] a stranger carries it first, before or after it is bound: one credit, nothing signed', async () => {
  await using all = await newWorld();
  for (const isBound of [false, true]) {
    const before = await all.credited();
    const one = await bound(all, { isBound });
    await carryAuthorization(all.world.test, one.authorization);
    const { broadcast } = await settled(all, one);
    assert.equal(broadcast.phase, 'none');
    assert.equal((await all.credited()) - before, CENT_MICROS);
  }
});

test('[I-14] a meter dies at one point after another between the binding and the credit: one transfer, one credit', async () => {
  await using all = await newWorld();
  const { world, watcher, payer } = all;
  let isThrough = false;
  for (let point = 0; !isThrough; point += POINT_STEP) {
    assert.ok(point < POINTS_MAX, 'it never comes through');
    const [credits, purse] = [await all.credited(), await world.chain.balanceOf(payer.address)];
    const one = await bound(all);
    const { mortal, fault, hasDied } = mortality(point);
    const parts = { engine: mortal(world.engine), chain: mortal(world.chain) };
    const dying = world.broadcaster({ ...parts, fault });
    await dying
      .carry(quoteStream(one.id))
      .then(() => dying.look())
      .then(() => watcher(parts).look())
      .catch(() => undefined);
    isThrough = !hasDied();
    await settled(all, one);
    assert.equal((await all.credited()) - credits, CENT_MICROS, `at point ${point}`);
    assert.equal(purse - (await world.chain.balanceOf(payer.address)), CENT_MICROS, `at point ${point}`);
  }
});

test('the chain forgets the payment after it was credited: it is carried again, and credited once', async () => {
  await using all = await newWorld();
  const { world, watcher } = all;
  await world.test.mine(3);
  const [broadcaster, look] = [world.broadcaster(), watcher()];
  await look.look();
  const one = await bound(all);
  const forget = await world.test.snapshot();
  await settled(all, one);
  await look.look();
  await forget();
  await world.test.mine(3);
  const isBack = (): Promise<boolean> =>
    world.chain.balanceOf(world.test.config.treasury).then((micros) => micros % (10n * CENT_MICROS) === CENT_MICROS);
  await untilTrue(isBack, async () => {
    await broadcaster.look();
    await look.look();
    await world.engine.settled();
  });
  await look.look();
  assert.equal(await all.credited(), CENT_MICROS);
  assert.equal((await quoteOf(world, one)).status, 'paid');
});

test('the chain forgets the payment when it was final and nobody had seen its money: it is sent again, and credited', async () => {
  await using all = await newWorld();
  const { world } = all;
  await world.test.mine(3);
  const one = await bound(all);
  const forget = await world.test.snapshot();
  const broadcaster = world.broadcaster();
  await untilTrue(
    async () => (await quoteOf(world, one)).broadcast.phase === 'final',
    () => broadcaster.look(),
  );
  await forget();
  await world.test.mine(3);
  assert.equal((await quoteOf(world, one)).deposit_id, '');
  await settled(all, one);
  assert.equal(await all.credited(), CENT_MICROS);
});

test('[I-41] a payment lapses when a final block is past its last moment and the token never took it, not before', async () => {
  await using all = await newWorld();
  const { world } = all;
  const options = { engine: world.engine, confirmations: 2 };
  const [unused, used] = [await bound(all, { usableS: 20 }), await bound(all, { usableS: 20 })];
  await carryAuthorization(world.test, used.authorization);
  assert.equal(await lapseQuotes(world.chain, options), 0);
  world.test.later(60);
  await world.test.mine(1);
  assert.equal(await lapseQuotes(world.chain, options), 0, 'the block past it is not final');
  await world.test.mine(1);
  assert.equal(await lapseQuotes(world.chain, options), 1);
  assert.deepEqual([(await quoteOf(world, unused)).status, (await quoteOf(world, used)).status], ['lapsed', 'bound']);
  assert.equal(await lapseQuotes(world.chain, options), 0);
  await settled(all, used);
  assert.equal(await all.credited(), CENT_MICROS);
});

test('[I-41] a payment that was taken back after it was bound lapses, once all its blocks were looked through', async () => {
  await using all = await newWorld();
  const { world } = all;
  const options = { engine: world.engine, confirmations: 1, wish: { upTo: -1n } };
  const one = await bound(all, { usableS: 20 });
  await cancelAuthorization(world.test, all.payer, one.payment.nonce as Hex);
  await all.watcher().look();
  world.test.later(60);
  await world.test.mine(1);
  assert.equal(await lapseQuotes(world.chain, options), 0, 'nobody has looked');
  await all.watcher({ wish: options.wish }).look();
  assert.equal(await lapseQuotes(world.chain, options), 1);
  assert.equal((await quoteOf(world, one)).status, 'lapsed');
});

test('an authorization that no quote has is its payer’s, or nobody’s', async () => {
  await using all = await newWorld();
  const { world, payer } = all;
  const terms = { value: 5n, validBefore: 9_000_000_000n, nonce: toHex(7, { size: 32 }) };
  await carryAuthorization(world.test, await signAuthorization(world.test, payer, terms));
  await all.watcher().look();
  assert.deepEqual(
    [await all.credited(), await all.credited(SUSPENSE)].map((micros) => micros % CENT_MICROS),
    [0n, 5n],
  );
});
