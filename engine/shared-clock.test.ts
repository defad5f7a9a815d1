import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Connection } from './connection.ts';
import { createSharedClock } from './shared-clock.ts';
import { command, newTestEngine } from './testing.ts';

const HOUR_US = 3_600_000_000n;

/** A database whose clock is an hour ahead of this machine's. */
const ahead = { query: async () => [{ now_us: BigInt(Date.now()) * 1_000n + HOUR_US }] } as unknown as Connection;

test("the clock is this machine's until the database was asked, then the database's", async () => {
  const clock = createSharedClock();
  const localUs = BigInt(Date.now()) * 1_000n;
  assert.ok(clock.nowUs() - localUs < 1_000_000n);
  await clock.freshen(ahead);
  assert.ok(clock.nowUs() - localUs >= HOUR_US - 1_000_000n);
});

test('a wall clock that is moved does not move the shared clock', async (t) => {
  const clock = createSharedClock();
  await clock.freshen({ query: async () => [{ now_us: 1_000_000_000n }] } as unknown as Connection);
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 3_600_000 });
  assert.ok(clock.nowUs() - 1_000_000_000n < 60_000_000n);
});

test('[I-04] a process whose wall clock is an hour ahead writes receipts in the time of the database', async (t) => {
  const beforeUs = BigInt(Date.now()) * 1_000n;
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 3_600_000 });
  await using engine = await newTestEngine();
  const { atUs } = await engine.execute(command('clock-1', 'ledger:main', 'OpenLedger'));
  assert.ok(atUs - beforeUs < 60_000_000n, `the receipt is ${atUs - beforeUs} us ahead`);
});
