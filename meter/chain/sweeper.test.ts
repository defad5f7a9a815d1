/**
 * Deposit addresses gathered into the treasury, on a real chain and a real database.
 * Promise: what is worth its gas is swept once, what is not stays, and the books follow the chain.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Engine, listStreams, readBalances, readStream } from '@tallystick/engine';
import { chainAccount, userAccount } from '@tallystick/kernel';
import { addressStream, type SweepState, signerStream, sweepStream } from '@tallystick/treasury';
import { pino } from 'pino';
import type { Address } from 'viem';
import type { Broadcaster } from './broadcaster.ts';
import { Sweeper } from './sweeper.ts';
import { FLOAT_MICROS, fresh, keyOf, mortality, newPayoutWorld, type PayoutWorld, untilTrue } from './testing.ts';
import { newTreasuryWorld } from './treasury-world.ts';
import { Watcher } from './watcher.ts';

const log = pino({ level: 'silent' });
const MIN_MICROS = 100n;
const RELAYER = keyOf('relayer').address.toLowerCase() as Address;
const PURSE_MICROS = 1_000_000n;
const POINTS_MAX = 400;
/** One point in so many; each takes a whole sweep. `TALLY_CRASH_STEP=1` tries all. */
const POINT_STEP = Number(process.env['TALLY_CRASH_STEP'] ?? 11);

async function depositors(world: PayoutWorld, micros: readonly bigint[]): Promise<string[]> {
  const { chain, test: given } = world;
  await world.ask('ledger:platform', 'OpenLedger', { providers: [] });
  const payer = await given.wallet(10_000n);
  const principals = micros.map((_, n) => `eip155:1:0x${String(n).padStart(40, '0')}`);
  for (const [n, principal] of principals.entries()) {
    const address = chain.depositAddress(principal).toLowerCase() as `0x${string}`;
    await world.ask(`account:${principal}`, 'OpenAccount', {});
    await world.ask(addressStream(chain.key, address), 'AssignAddress', { rail: chain.key, address, principal });
    await given.pay(payer, address, micros[n]!);
  }
  return principals;
}

const watcherOf = ({ engine, chain }: PayoutWorld) =>
  new Watcher({ engine, chain, confirmations: 1, startBlock: 0n, chainIds: [1], log });

const held = async (engine: Engine, account: string): Promise<bigint> => {
  const [row] = await readBalances(engine, [account]);
  return (row?.debitsPostedMicros ?? 0n) - (row?.creditsPostedMicros ?? 0n);
};

const sweepsOf = async ({ engine, chain }: PayoutWorld): Promise<SweepState[]> =>
  (await listStreams(engine, { kind: 'sweep', limit: 10, filter: { rail: chain.key } })).map(
    ({ state }) => state as unknown as SweepState,
  );

test('what is worth it is swept in one batch, whoever plans; the rest stays, and users have what they had', async () => {
  await using world = await newPayoutWorld();
  const { engine, chain } = world;
  const [ann, bob, eve] = await depositors(world, [300n, 100n, 99n]);
  const watcher = watcherOf(world);
  await watcher.look();
  const [one, two] = [1, 2].map(() => new Sweeper({ engine, chain, minMicros: MIN_MICROS, log })) as [Sweeper, Sweeper];
  await Promise.all([one.look(), two.look()]);
  await one.look();
  const broadcaster = world.broadcaster();
  await broadcaster.look();
  await broadcaster.look();
  await watcher.look();
  const [sweep, ...others] = await sweepsOf(world);
  assert.deepEqual([others.length, sweep?.status, sweep?.micros, sweep?.addresses.length], [0, 'final', '400', 2]);
  assert.equal(await chain.balanceOf(chain.depositAddress(eve!)), 99n);
  const books = ['treasury', 'forwarders'] as const;
  assert.deepEqual(await Promise.all(books.map((part) => held(engine, chainAccount(chain.key, part)))), [
    FLOAT_MICROS + 400n,
    99n,
  ]);
  const users = [ann!, bob!, eve!].map((who) => held(engine, userAccount(who)));
  assert.deepEqual(await Promise.all(users), [-300n, -100n, -99n]);
  await one.look();
  assert.equal((await sweepsOf(world)).length, 1, 'nothing is left that is worth it');
});

test('the next batch waits for the one before, and a while after one that failed', async () => {
  await using world = await newPayoutWorld();
  const { engine, chain } = world;
  await depositors(world, [300n]);
  await watcherOf(world).look();
  let nowMs = 0;
  const sweeper = new Sweeper({ engine, chain, minMicros: MIN_MICROS, log, nowMs: () => nowMs });
  await sweeper.look();
  await sweeper.look();
  assert.equal((await sweepsOf(world)).length, 1);
  const [planned] = await sweepsOf(world);
  const stream = `sweep:${chain.key}/${planned!.number}`;
  const silent = { ...chain, send: async () => 'never left' } as typeof chain;
  await world.broadcaster({ chain: silent }).carry(stream);
  const displaced = { hash: '', succeeded: false, block: '', block_hash: '', by: '0xff', attempts: 1 };
  await world.ask(stream, 'ConcludeTransaction', displaced);
  await sweeper.look();
  assert.equal((await sweepsOf(world)).length, 1, 'it pauses');
  nowMs += 600_000;
  await sweeper.look();
  assert.deepEqual(
    (await sweepsOf(world)).map(({ number, status }) => [number, status]),
    [
      ['2', 'planned'],
      ['1', 'failed'],
    ],
  );
});

test('what payouts wait for is gathered however little it is, and payouts never count on the same dollars', async () => {
  await using world = await newPayoutWorld();
  const { engine, chain } = world;
  await depositors(world, [60n, 50n]);
  const watcher = watcherOf(world);
  await watcher.look();
  const to = [fresh(), fresh()];
  const all = await world.hold('all', to[0]!, FLOAT_MICROS - 10n);
  await world.hold('more', to[1]!, 100n);
  let short = 0;
  const broadcaster = world.broadcaster({ onShort: () => (short += 1), nowMs: newClock() });
  await broadcaster.carry(all);
  await broadcaster.look();
  assert.deepEqual([await chain.balanceOf(to[0]!), await chain.balanceOf(to[1]!), short], [FLOAT_MICROS - 10n, 0n, 1]);
  const sweeper = new Sweeper({ engine, chain, minMicros: MIN_MICROS, log });
  await sweeper.look();
  for (let round = 0; round < 3; round++) await broadcaster.look();
  assert.equal(await chain.balanceOf(to[1]!), 100n);
  assert.equal((await sweepsOf(world))[0]?.micros, '110');
});

test('an address that the contract does not let go holds up no other', async () => {
  await using world = await newPayoutWorld();
  const { engine } = world;
  const [, bob] = await depositors(world, [300n, 200n]);
  await watcherOf(world).look();
  const saltOfStuck = world.chain.saltOf(bob!);
  const chain: typeof world.chain = {
    ...world.chain,
    gasOf: async (call, from) =>
      call.kind === 'sweep' && call.salts.includes(saltOfStuck) ? 'blocked' : world.chain.gasOf(call, from),
  };
  await new Sweeper({ engine, chain, minMicros: MIN_MICROS, log }).look();
  const [planned] = await sweepsOf(world);
  assert.deepEqual([planned?.micros, planned?.salts.includes(saltOfStuck)], ['300', false]);
});

test('a batch that the contract refuses once it is planned is dropped unsigned, and the next one leaves out what held it up', async () => {
  await using world = await newPayoutWorld();
  const { engine } = world;
  const [, bob] = await depositors(world, [300n, 200n]);
  await watcherOf(world).look();
  const saltOfStuck = world.chain.saltOf(bob!);
  let isBlocked = false;
  const chain: typeof world.chain = {
    ...world.chain,
    gasOf: async (call, from) =>
      isBlocked && call.kind === 'sweep' && call.salts.includes(saltOfStuck)
        ? 'blocked'
        : world.chain.gasOf(call, from),
  };
  const nowMs = newClock();
  const sweeper = new Sweeper({ engine, chain, minMicros: MIN_MICROS, log, nowMs });
  await sweeper.look();
  isBlocked = true;
  const broadcaster = world.broadcaster({ chain, nowMs });
  for (let look = 0; look < 2; look++) await broadcaster.look();
  for (let look = 0; look < 2; look++) await sweeper.look();
  for (let look = 0; look < 2; look++) await broadcaster.look();
  assert.deepEqual(
    (await sweepsOf(world)).map(({ number, status, micros, broadcast }) => [number, status, micros, broadcast.nonce]),
    [
      ['2', 'final', '300', '0'],
      ['1', 'failed', '500', ''],
    ],
  );
});

test('a relayer’s key that was used elsewhere goes on behind that, once it is final', async () => {
  await using world = await newPayoutWorld();
  const { engine, chain } = world;
  await depositors(world, [300n]);
  await watcherOf(world).look();
  const sweeper = new Sweeper({ engine, chain, minMicros: MIN_MICROS, log });
  await sweeper.look();
  const [one, other] = [world.broadcaster({ confirmations: 3 }), world.broadcaster({ confirmations: 3 })];
  const stream = `sweep:${chain.key}/1`;
  const nonceOf = async (): Promise<string> => (await sweepsOf(world))[0]!.broadcast.nonce;
  await world.ask(signerStream(chain.key, RELAYER), 'OpenSigner', {
    rail: chain.key,
    address: RELAYER,
    from_nonce: '0',
  });
  for (let n = 0; n < 2; n++) await world.test.pay(keyOf('relayer'), fresh(), 0n);
  await one.carry(stream);
  assert.equal(await nonceOf(), '', 'not while the chain could forget it');
  await world.test.mine(2);
  await other.carry(stream);
  assert.equal(await nonceOf(), '2');
});

test('many payouts at once are signed as far as the dollars reach, and none comes back for want of them', async () => {
  await using world = await newPayoutWorld();
  const to = Array.from({ length: 10 }, fresh);
  const streams = await Promise.all(to.map((one, n) => world.hold(`at-once-${n}`, one, 150_000n)));
  const broadcaster = world.broadcaster();
  await Promise.all(streams.map((stream) => broadcaster.carry(stream)));
  for (let round = 0; round < 3; round++) await broadcaster.look();
  const states = await Promise.all(streams.map((stream) => world.state(stream)));
  const count = (status: string): number => states.filter((state) => state.status === status).length;
  const held = await Promise.all(to.map((one) => world.chain.balanceOf(one)));
  assert.equal(held.filter((micros) => micros === 150_000n).length, count('final'));
  assert.deepEqual([count('final'), count('held')], [6, 4]);
});

test('[I-38] a meter dies at one point after another between the plan of a sweep and its end: swept once, and the books agree', async () => {
  await using world = await newTreasuryWorld();
  const { engine, chain } = world;
  const [ann, watcher] = [await world.person(PURSE_MICROS), world.watcher()];
  const sweeping = async (sweeper: Sweeper, broadcaster: Broadcaster): Promise<void> => {
    await sweeper.look();
    for (let look = 0; look < 3; look++) await broadcaster.look(); // signed, final, and nothing left
  };
  let [isThrough, sweeps, point] = [false, 0n, 0];
  for (; !isThrough; point += POINT_STEP) {
    assert.ok(point < POINTS_MAX, 'it never comes through');
    await world.test.pay(ann.key, ann.forwarder, MIN_MICROS);
    await watcher.look();
    sweeps += 1n;
    const { mortal, fault, hasDied } = mortality(point);
    const parts = { engine: mortal(engine), chain: mortal(chain) };
    const dying = new Sweeper({ ...parts, minMicros: MIN_MICROS, log });
    await sweeping(dying, world.broadcaster({ ...parts, fault })).catch(() => undefined);
    isThrough = !hasDied();
    const [sweeper, broadcaster] = [new Sweeper({ engine, chain, minMicros: MIN_MICROS, log }), world.broadcaster()];
    const stream = sweepStream(chain.key, String(sweeps));
    const isFinal = async () => (await readStream(engine, stream))?.state['status'] === 'final';
    await untilTrue(isFinal, () => sweeping(sweeper, broadcaster));
    await watcher.look();
    await sweeping(sweeper, broadcaster);
    const told = `after a death at point ${point}`;
    const { chain: there, ledger } = await world.reserves();
    assert.deepEqual([there, ledger], [[sweeps * MIN_MICROS, 0n], there], told);
    const [newest] = await listStreams(engine, { kind: 'sweep', limit: 1 });
    assert.deepEqual([newest?.stream, await chain.transactionCount(RELAYER)], [stream, sweeps], `swept once ${told}`);
  }
  assert.ok(point > 100, `only about ${point} points were tried`);
});

/** A minute passes at every look at it. */
function newClock(): () => number {
  let nowMs = 0;
  return () => {
    nowMs += 60_000;
    return nowMs;
  };
}
