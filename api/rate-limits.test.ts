// Rate limits: who is refused when, for how long, and how addresses are told apart.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiRefusal } from '@tallystick/surface';
import fc from 'fast-check';
import { CALLERS_MAX, createRateLimits, type LimitName, networkOf, type RatesPerMinute } from './rate-limits.ts';

const RATES: RatesPerMinute = { principal_reads: 6, principal_writes: 2, address_logins: 1, address_reads: 3 };

function at(rates = RATES) {
  const clock = { nowMs: 0 };
  const limits = createRateLimits(rates, () => clock.nowMs);
  /** How long to wait; 0: it may go on. */
  const ask = (limit: LimitName, caller = 'a'): number => {
    try {
      limits.take(limit, caller);
      return 0;
    } catch (refusal) {
      assert.ok(refusal instanceof ApiRefusal && refusal.code === 'RATE_LIMITED');
      assert.deepEqual([refusal.facts['limit'], refusal.facts['per_minute_max']], [limit, rates[limit]]);
      return Number(refusal.facts['retry_after_ms']);
    }
  };
  return { clock, ask };
}

test('a minute of requests may come at once, then one by one, and the refusal says when', () => {
  const { clock, ask } = at();
  assert.deepEqual([ask('principal_writes'), ask('principal_writes'), ask('principal_writes')], [0, 0, 30_000]);
  clock.nowMs = 29_999;
  assert.equal(ask('principal_writes'), 1);
  clock.nowMs = 30_000;
  assert.deepEqual([ask('principal_writes'), ask('principal_writes')], [0, 30_000]);
});

test('limits and callers do not use up one another', () => {
  const { ask } = at();
  assert.deepEqual([ask('address_logins', 'a'), ask('address_logins', 'a')], [0, 60_000]);
  assert.deepEqual([ask('address_logins', 'b'), ask('address_reads', 'a')], [0, 0]);
});

test('whoever waits as long as told is served, and nobody gets more than its rate', () => {
  const pauses = fc.array(fc.integer({ min: 0, max: 40_000 }), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(pauses, (steps) => {
      const { clock, ask } = at();
      let served = 0;
      for (const ms of steps) {
        clock.nowMs += ms;
        const waitMs = ask('principal_reads');
        if (waitMs > 0) {
          clock.nowMs += waitMs;
          assert.equal(ask('principal_reads'), 0);
        }
        served++;
        assert.ok(served <= RATES.principal_reads + (clock.nowMs * RATES.principal_reads) / 60_000 + 1e-6);
      }
    }),
  );
});

test('callers beyond the greatest number push out who asked longest ago', () => {
  const { ask } = at();
  assert.equal(ask('address_logins', 'first'), 0);
  for (let i = 0; i < CALLERS_MAX; i++) ask('address_logins', `other ${i}`);
  assert.equal(ask('address_logins', 'first'), 0);
  assert.equal(ask('address_logins', `other ${CALLERS_MAX - 1}`), 60_000);
});

const NETWORKS: [address: string, network: string][] = [
  ['127.0.0.1', '127.0.0.1'],
  ['::ffff:10.0.0.7', '10.0.0.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
  ['2001:db8::9', '2001:db8:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
];
for (const [address, network] of NETWORKS)
  test(`${address} counts as ${network}`, () => {
    assert.equal(networkOf(address), network);
  });
