/**
 * Payouts that wait, more of them than one look takes.
 * Promise: each gets its turn, however many cannot leave; a look does a bounded part of it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fresh, newPayoutWorld, type PayoutWorld, untilTrue } from './testing.ts';
import { Turns } from './turns.ts';

const BEYOND_ALL = 10n ** 12n;
const MINUTE_MS = 60_000;

const statusOf = async (world: PayoutWorld, stream: string) => (await world.state(stream)).status;

async function unpayable(world: PayoutWorld, count: number): Promise<void> {
  for (let n = 0; n < count; n++) await world.hold(`unpayable-${n}`, fresh(), BEYOND_ALL);
}

test('turns go from the oldest to the newest and begin again; those of others are passed over', async () => {
  await using world = await newPayoutWorld();
  const { engine } = world;
  const all: string[] = [];
  for (let n = 0; n < 6; n++) all.push(await world.hold(String(n), fresh(), 5n));
  const turns = new Turns({
    ...{ engine, kind: 'withdrawal', status: 'held', max: 2 },
    isOurs: ({ stream }) => stream !== all[1],
  });
  const next = async () => {
    const { rows, round } = await turns.next();
    return [rows.map(({ stream }) => all.indexOf(stream)), round && [...round].map((stream) => all.indexOf(stream))];
  };
  for (let round = 0; round < 2; round++) {
    assert.deepEqual(await next(), [[0], undefined]);
    assert.deepEqual(await next(), [[2, 3], undefined]);
    assert.deepEqual(await next(), [
      [4, 5],
      [0, 2, 3, 4, 5],
    ]);
  }
});

test('[I-43] whoever came first and whoever came last is paid, although more than a look takes cannot be', async () => {
  await using world = await newPayoutWorld();
  const first = await world.hold('first', fresh(), 5n);
  await unpayable(world, 7);
  const last = await world.hold('last', fresh(), 5n);
  let [nowMs, tried] = [0, 0];
  const broadcaster = world.broadcaster({ turnMax: 3, nowMs: () => nowMs, onShort: () => (tried += 1) });
  const inEachLook: number[] = [];
  const statuses: string[][] = [];
  for (let look = 0; look < 3; look++) {
    tried = 0;
    await broadcaster.look();
    inEachLook.push(tried);
    statuses.push([await statusOf(world, first), await statusOf(world, last)]);
    assert.equal(broadcaster.isIdle, false);
    nowMs += MINUTE_MS;
  }
  assert.deepEqual(inEachLook, [2, 3, 2]);
  assert.deepEqual(statuses, [
    ['signed', 'held'],
    ['final', 'held'],
    ['final', 'signed'],
  ]);
});

test('what the contract refuses for ten minutes has an end also when its turn does not come at every look', async () => {
  await using world = await newPayoutWorld();
  await unpayable(world, 3);
  const refused = await world.hold('refused', `0x${'00'.repeat(20)}`, 5n); // the token transfers nothing to it
  let nowMs = 0;
  const broadcaster = world.broadcaster({ turnMax: 2, nowMs: () => nowMs });
  const look = async (): Promise<void> => {
    await broadcaster.look();
    nowMs += MINUTE_MS;
  };
  for (let minute = 0; minute < 10; minute++) await look();
  assert.equal(await statusOf(world, refused), 'held');
  await untilTrue(async () => (await statusOf(world, refused)) === 'returned', look, 10);
});
