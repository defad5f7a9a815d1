/**
 * What leaves the house, on a real chain and a real database.
 * Promise: whoever dies, repeats or comes second, and whatever the chain forgets, each payout is paid once.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FROM_START, readReceipts } from '@tallystick/engine';
import { type Chain, openChain } from '@tallystick/engine/adapters/chain';
import { startTestChain } from '@tallystick/engine/adapters/chain/testing';
import { ATTEMPTS_MAX, railStream, type SignerState, signerStream } from '@tallystick/treasury';
import { pino } from 'pino';
import type { Hex } from 'viem';
import { assertOneTransactionEach, throughStorm } from './storm.ts';
import { fresh, keyOf, newPayoutWorld, type PayoutWorld, TREASURY, untilTrue } from './testing.ts';

const statusOf = async (world: PayoutWorld, stream: string) => (await world.state(stream)).status;
const isFinal = (world: PayoutWorld, streams: readonly string[]) => async (): Promise<boolean> => {
  const states = await Promise.all(streams.map((stream) => statusOf(world, stream)));
  return states.every((status) => status === 'final');
};

test('a payout is signed, sent, and final when it is deep enough', async () => {
  await using world = await newPayoutWorld();
  const to = fresh();
  const stream = await world.hold('one', to, 5n);
  const broadcaster = world.broadcaster({ confirmations: 3 });
  await broadcaster.carry(stream);
  assert.deepEqual([await statusOf(world, stream), await world.chain.balanceOf(to)], ['signed', 5n]);
  await world.test.mine(1);
  await broadcaster.look();
  assert.equal(await statusOf(world, stream), 'signed');
  await world.test.mine(1);
  await broadcaster.look();
  const { status, broadcast } = await world.state(stream);
  assert.equal(status, 'final');
  assert.equal((await world.chain.receiptOf(broadcast.hash as Hex))?.block.hash, broadcast.block_hash);
});

const POINTS_PER_WORLD = 24;
/** One point in so many; each takes a whole payout. `TALLY_CRASH_STEP=1` tries all. */
const POINT_STEP = Number(process.env['TALLY_CRASH_STEP'] ?? 5);

/** Dies at one point after another, from `first` on. True when it lived through all there are. */
async function diesFrom(first: number): Promise<boolean> {
  await using world = await newPayoutWorld();
  const to = fresh();
  let paid = 0n;
  for (let point = first; point < first + POINTS_PER_WORLD; point += POINT_STEP) {
    const stream = await world.hold(`at-${point}`, to, 7n);
    paid += 7n;
    const { broadcaster, hasDied } = world.mortal(point, { bumpMs: 0 });
    await world.automine(false);
    await broadcaster.carry(stream).catch(() => undefined);
    await broadcaster.look().catch(() => undefined); // made dearer
    await world.automine(true);
    await world.test.mine(1);
    await broadcaster.look().catch(() => undefined); // concluded
    if (!hasDied()) assert.equal((await world.state(stream)).broadcast.attempts.length, 2);
    const next = world.broadcaster();
    await untilTrue(isFinal(world, [stream]), () => next.look());
    assert.equal(await world.chain.balanceOf(to), paid, `paid once after a death at point ${point}`);
    assert.equal(await world.chain.transactionCount(TREASURY), paid / 7n);
    if (!hasDied()) return true;
  }
  return false;
}

test('[I-38] a meter dies at one point after another between signing, a replacement and the end: nothing is paid twice or left unpaid', async () => {
  let points = 0;
  while (!(await diesFrom(points))) {
    points += POINTS_PER_WORLD;
    assert.ok(points < 400, 'it goes on without end');
  }
  assert.ok(points > 100, `only about ${points} points were tried`);
});

test('[I-38] twenty payouts at once, sent twice, replaced and cut short by deaths of meters: each is paid once', async (context) => {
  await using world = await newPayoutWorld();
  const recipients = Array.from({ length: 20 }, (_, n) => ({ to: fresh(), micros: BigInt(100 + n) }));
  const streams = await Promise.all(recipients.map(({ to, micros }, n) => world.hold(`many-${n}`, to, micros)));
  const storm = await throughStorm(world, streams);
  context.diagnostic(JSON.stringify(storm));
  await assertOneTransactionEach(world, streams);
  for (const { to, micros } of recipients) assert.equal(await world.chain.balanceOf(to), micros);
});

test('a transaction that no block takes is sent again, then replaced by a dearer one with its nonce', async () => {
  await using world = await newPayoutWorld();
  await world.automine(false);
  const to = fresh();
  const stream = await world.hold('slow', to, 5n);
  const broadcaster = world.broadcaster({ bumpMs: 0 });
  await broadcaster.carry(stream);
  await broadcaster.look();
  await broadcaster.look();
  const { attempts, nonce } = (await world.state(stream)).broadcast;
  assert.ok(attempts.length >= 3, `${attempts.length} attempts`);
  const fees = attempts.map(({ max_fee_wei }) => BigInt(max_fee_wei));
  for (const [i, fee] of fees.slice(1).entries()) assert.ok(fee * 8n >= fees[i]! * 9n, 'an eighth more at least');
  await world.test.mine(1);
  await broadcaster.look();
  const { status, broadcast } = await world.state(stream);
  assert.deepEqual([status, broadcast.nonce, await world.chain.balanceOf(to)], ['final', nonce, 5n]);
  assert.equal(broadcast.hash, attempts.at(-1)!.hash);
});

test('what waits for ever leaves a bounded number of receipts', async () => {
  await using world = await newPayoutWorld();
  const receiptsOf = async (stream: string): Promise<number> =>
    (await readReceipts(world.engine, { stream, after: FROM_START, limit: 100 })).length;
  const broke = await world.hold('unpayable', fresh(), 10n ** 12n);
  await world.automine(false);
  const slow = await world.hold('never-mined', fresh(), 5n);
  let nowMs = 0;
  const broadcaster = world.broadcaster({ bumpMs: 0, nowMs: () => nowMs });
  for (let look = 0; look < 25; look++) {
    await broadcaster.look();
    nowMs += 60_000;
  }
  assert.equal((await world.state(slow)).broadcast.attempts.length, ATTEMPTS_MAX);
  assert.deepEqual([await receiptsOf(broke), await receiptsOf(slow)], [1, 1 + ATTEMPTS_MAX]);
});

const foreignTransfer = (world: PayoutWorld) => world.test.pay(keyOf('treasury'), fresh(), 1n);

test('a nonce that another transaction took is known by that transaction, and the payout is not taken for paid', async () => {
  await using world = await newPayoutWorld();
  const to = fresh();
  const stream = await world.hold('displaced', to, 5n);
  const silent = { ...world.chain, send: async () => 'never left' } as Chain;
  await world.broadcaster({ chain: silent }).carry(stream);
  await foreignTransfer(world);
  const deaf = { ...world.chain, nonceTaker: async () => undefined } as Chain; // a node that has forgotten
  await world.broadcaster({ chain: deaf }).look();
  assert.equal(await statusOf(world, stream), 'signed', 'silence concludes nothing');
  await world.broadcaster().look();
  assert.deepEqual([await statusOf(world, stream), await world.chain.balanceOf(to)], ['returned', 0n]);
  const again = await world.hold('after', to, 5n);
  await world.broadcaster().carry(again);
  assert.equal(await world.chain.balanceOf(to), 5n);
});

/** The chain was held against the ledger as of its newest block, and all was there. */
async function proveReserves(world: PayoutWorld): Promise<void> {
  const { number, hash } = await world.chain.head();
  const none = { ledger_micros: '0', pending_micros: '0', leaving_micros: '0', chain_micros: '0' };
  const parts = ['treasury', 'forwarders'].map((part) => ({ part, ...none }));
  await world.ask(railStream(world.chain.key), 'RecordReserves', { block: String(number), block_hash: hash, parts });
}

test('[I-38] a treasury’s key that was used by nobody knows whom signs nothing until all money is found there', async () => {
  await using world = await newPayoutWorld();
  const { token, treasury, factory } = world.test.config;
  await world.ask(railStream(world.chain.key), 'OpenRail', { token, treasury: treasury.toLowerCase(), factory });
  await proveReserves(world);
  const to = fresh();
  const first = await world.hold('first', to, 5n);
  await world.broadcaster().carry(first);
  for (let n = 0; n < 2; n++) await foreignTransfer(world); // as a database would find it that has forgotten two payouts
  const second = await world.hold('second', to, 5n);
  const told: { first?: string; taken?: string }[] = [];
  const log = pino({ level: 'error' }, { write: (line) => told.push(JSON.parse(line)) });
  const broadcaster = world.broadcaster({ confirmations: 3, log });
  await broadcaster.carry(second);
  assert.deepEqual([await statusOf(world, second), told.length], ['held', 0], 'not while the chain could forget it');
  await world.test.mine(2);
  for (let n = 0; n < 3; n++) await broadcaster.carry(second);
  assert.deepEqual(
    [await statusOf(world, second), told.map(({ first, taken }) => [first, taken])],
    ['held', [['1', '3']]],
  );
  await proveReserves(world);
  await broadcaster.carry(second);
  assert.equal((await world.state<SignerState>(signerStream(world.chain.key, TREASURY))).from_nonce, '3');
  assert.deepEqual([(await world.state(second)).broadcast.nonce, await world.chain.balanceOf(to)], ['3', 10n]);
});

test('[I-38] a database that never saw its treasury’s key sign, and a key that did: nothing is signed until all money is found', async () => {
  await using world = await newPayoutWorld();
  const { token, treasury, factory } = world.test.config;
  await world.ask(railStream(world.chain.key), 'OpenRail', { token, treasury: treasury.toLowerCase(), factory });
  await foreignTransfer(world);
  const stream = await world.hold('paid-before', fresh(), 5n);
  const broadcaster = world.broadcaster();
  await broadcaster.carry(stream);
  assert.equal(await statusOf(world, stream), 'held');
  await proveReserves(world);
  await broadcaster.carry(stream);
  assert.equal((await world.state(stream)).broadcast.nonce, '1');
});

test('a chain that forgets a final payout gets it again, and pays it once', async () => {
  await using world = await newPayoutWorld();
  const to = fresh();
  const broadcaster = world.broadcaster();
  await broadcaster.look();
  const undo = await world.test.snapshot();
  const stream = await world.hold('forgotten', to, 5n);
  await broadcaster.carry(stream);
  await broadcaster.look();
  assert.equal(await statusOf(world, stream), 'final');
  await undo();
  await world.test.mine(2);
  assert.equal(await world.chain.balanceOf(to), 0n);
  await broadcaster.look();
  await broadcaster.look();
  assert.equal(await world.chain.balanceOf(to), 5n);
});

test('a chain that forgets what had failed leaves a gap, which is told once and filled by hand', async () => {
  await using world = await newPayoutWorld();
  const undo = await world.test.snapshot();
  const failed = await world.hold('failed', `0x${'00'.repeat(20)}`, 5n);
  const blind = { ...world.chain, gasOf: async () => 100_000n } as Chain;
  await world.broadcaster({ chain: blind }).carry(failed);
  await world.broadcaster().look();
  assert.equal(await statusOf(world, failed), 'returned');
  await undo();
  await world.test.mine(3);
  const to = fresh();
  const behind = await world.hold('behind', to, 5n);
  const told: object[] = [];
  const log = pino({ level: 'error' }, { write: (line) => told.push(JSON.parse(line)) });
  let nowMs = 0;
  const broadcaster = world.broadcaster({ log, nowMs: () => nowMs });
  await broadcaster.carry(behind);
  for (let look = 0; look < 4; look++) {
    await broadcaster.look();
    nowMs += 40_000;
  }
  assert.deepEqual(
    told.map((line) => (line as { missing?: string }).missing),
    ['0'],
  );
  await foreignTransfer(world);
  await broadcaster.look();
  await broadcaster.look();
  assert.deepEqual([await statusOf(world, behind), await world.chain.balanceOf(to)], ['final', 5n]);
});

test('what the contract undoes has failed; what would fail is not signed at all', async () => {
  await using world = await newPayoutWorld();
  const broke = await world.hold('too-much', fresh(), 10n ** 12n);
  await world.broadcaster().carry(broke);
  assert.equal(await statusOf(world, broke), 'held');
  const blind = { ...world.chain, gasOf: async () => 80_000n, balanceOf: async () => 10n ** 15n } as Chain;
  await world.broadcaster({ chain: blind }).carry(broke);
  await world.broadcaster().look();
  assert.equal(await statusOf(world, broke), 'returned');
});

test('what the contract refuses for ten minutes is sent all the same, so that it has an end', async () => {
  await using world = await newPayoutWorld();
  const nobody = `0x${'00'.repeat(20)}` as const; // the token transfers nothing to it
  const stream = await world.hold('refused', nobody, 5n);
  let nowMs = 0;
  const broadcaster = world.broadcaster({ nowMs: () => nowMs });
  await broadcaster.look();
  nowMs = 599_000;
  await broadcaster.look();
  assert.equal(await statusOf(world, stream), 'held');
  nowMs += 60_000;
  await broadcaster.look();
  assert.equal(await statusOf(world, stream), 'signed');
  await broadcaster.look();
  assert.equal(await statusOf(world, stream), 'returned');
});

test('what a key signed that is not here any more is sent again and concluded, not made dearer', async () => {
  await using world = await newPayoutWorld();
  const to = fresh();
  const stream = await world.hold('of-an-older-key', to, 5n);
  const silent = { ...world.chain, send: async () => 'never left' } as Chain;
  await world.broadcaster({ chain: silent }).carry(stream);
  await world.automine(false);
  const keyless = world.broadcaster({ signers: [], bumpMs: 0 });
  for (let look = 0; look < 3; look++) await keyless.look();
  assert.equal((await world.state(stream)).broadcast.attempts.length, 1);
  await world.test.mine(1);
  await keyless.look();
  assert.deepEqual([await statusOf(world, stream), await world.chain.balanceOf(to)], ['final', 5n]);
});

test('a chain of several endpoints, one of which is away, concludes nothing and goes on when it is back', async () => {
  await using world = await newPayoutWorld();
  const to = fresh();
  const stream = await world.hold('away', to, 5n);
  const away = {
    ...world.chain,
    send: async () => 'away',
    receiptOf: () => Promise.reject(new Error('away')),
  } as Chain;
  const broadcaster = world.broadcaster({ chain: away });
  await broadcaster.carry(stream);
  await broadcaster.look();
  assert.equal(await statusOf(world, stream), 'signed');
  const back = world.broadcaster();
  await untilTrue(isFinal(world, [stream]), () => back.look());
  assert.equal(await world.chain.balanceOf(to), 5n);
});

test('a chain that was reset is another one: its keys count from its own beginning', async () => {
  await using world = await newPayoutWorld();
  const to = fresh();
  await world.broadcaster().carry(await world.hold('before', to, 5n));
  await using other = await startTestChain(TREASURY);
  await other.chain.faucet.give({ to: TREASURY, micros: 100n, reference: 'other', withGas: true });
  const chain = await openChain(other.config);
  assert.notEqual(chain.key, world.chain.key);
  const left = await world.hold('left', to, 5n);
  const stream = 'withdrawal:after';
  const payout = { rail: chain.key, to: to.toLowerCase(), amount_micros: '5' };
  await world.ask(stream, 'Hold', payout);
  await world.broadcaster({ chain }).look();
  const { status, broadcast } = await world.state(stream);
  assert.deepEqual([status, broadcast.nonce, await chain.balanceOf(to)], ['signed', '0', 5n]);
  assert.equal(await statusOf(world, left), 'held', 'it waits for its own chain');
});
