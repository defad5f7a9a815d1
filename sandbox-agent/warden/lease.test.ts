/** Lease laws: which tickets hold, and that no clock, replay or order of arrival lengthens what was paid. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RUN_TICKET_TYPE, type RunTicket, signEnvelope, signingKeyFromSeed } from '@tallystick/kernel';
import fc from 'fast-check';
import { leaseKey, ticketOf } from '../testing/rig.ts';
import { type Clock, remainingMs, WARDEN_MARGIN_MS } from './clock.ts';
import { admitTicket, type Lease, startingLease, startLease } from './lease.ts';

const WALL_MS = 1_800_000_000_000;
const NAME = { sandbox: 's0', incarnation: 1 };
const clockAt = (wallMs: number, monotonicMs: number): Clock => ({
  wallMs: () => wallMs,
  monotonicMs: () => monotonicMs,
});
const NOW = clockAt(WALL_MS, 1_000);
const minute = (changes: Partial<RunTicket> = {}) => ticketOf(60_000, changes, WALL_MS);
const admit = (ticket: ReturnType<typeof minute>, held?: Lease, clock = NOW) =>
  admitTicket(ticket, leaseKey.publicKey, NAME, held, clock);
const us = (ms: number): string => String(ms * 1_000);

function admitted(ticket: ReturnType<typeof minute>, held?: Lease, clock = NOW): Lease {
  const lease = admit(ticket, held, clock);
  assert.ok(!('rejection' in lease), JSON.stringify(lease));
  return lease;
}

const HELD = admitted(minute());

const REFUSALS: [rejection: string, changes: Partial<RunTicket>, held?: Lease][] = [
  ['malformed', { duration_ms: 0 }],
  ['malformed', { duration_ms: 1e12 }],
  ['malformed', { seq: 0 }],
  ['malformed', { seq: 1.5 as number }],
  ['malformed', { paid_until_us: '1.5' }],
  ['other_sandbox', { sandbox: 's9' }],
  ['other_sandbox', { sandbox: 's9', incarnation: 9 }],
  ['other_incarnation', { incarnation: 2 }],
  ['other_incarnation', { incarnation: 2, seq: 1 }, HELD],
  ['old_seq', { seq: 1 }, HELD],
  ['old_seq', { seq: 1, paid_until_us: us(WALL_MS * 2) }, HELD],
  ['already_over', { paid_until_us: us(WALL_MS - 1) }],
  ['already_over', { paid_until_us: us(WALL_MS + WARDEN_MARGIN_MS) }],
];

for (const [rejection, changes, held] of REFUSALS) {
  test(`a ticket is refused as ${rejection}: ${JSON.stringify(changes)}${held ? ', after seq 1' : ''}`, () => {
    const isSignable = Object.values(changes).every((value) => typeof value !== 'number' || Number.isInteger(value));
    if (!isSignable) return assert.throws(() => minute(changes), TypeError);
    assert.deepEqual(admit(minute(changes), held), { rejection });
  });
}

test('a ticket is refused as bad_signature: another key, a changed payload, another type', () => {
  const stranger = signingKeyFromSeed(Buffer.alloc(32, 99));
  const payload = JSON.parse(Buffer.from(minute().payload, 'base64').toString());
  assert.deepEqual(admit(signEnvelope(RUN_TICKET_TYPE, payload, stranger)), { rejection: 'bad_signature' });
  const longer = minute({ paid_until_us: us(WALL_MS * 2) }).payload;
  assert.deepEqual(admit({ ...minute(), payload: longer }), { rejection: 'bad_signature' });
  assert.deepEqual(admit(signEnvelope('application/other', payload, leaseKey)), { rejection: 'bad_signature' });
});

test('a wall clock that is stepped, either way, never lengthens a lease', () => {
  for (const stepMs of [-3_600_000, -1_000, 0, 1_000, 3_600_000]) {
    assert.ok(remainingMs(HELD, clockAt(WALL_MS + stepMs, 1_000), 0) <= 60_000);
  }
  assert.ok(remainingMs(HELD, clockAt(WALL_MS - 3_540_000, 61_000), 0) <= 0, 'an hour back: monotonic time ends it');
  assert.ok(remainingMs(HELD, clockAt(WALL_MS + 3_600_000, 1_001), 0) <= 0, 'an hour forward: it ends at once');
});

test('renewing 20 s early, each minute, loses nothing and gains nothing', () => {
  let lease = HELD;
  for (let seq = 2; seq <= 11; seq += 1) {
    const atMs = (seq - 1) * 60_000 - 20_000;
    const clock = clockAt(WALL_MS + atMs, 1_000 + atMs);
    lease = admitted(minute({ seq, paid_until_us: us(WALL_MS + seq * 60_000) }), lease, clock);
    assert.equal(remainingMs(lease, clock, 0), 80_000);
  }
});

test('a ticket that arrives late starts on arrival and still ends at paid_until', () => {
  const late = clockAt(WALL_MS + 90_000, 91_000);
  const lease = admitted(minute({ seq: 2, paid_until_us: us(WALL_MS + 120_000) }), HELD, late);
  assert.equal(remainingMs(lease, late, 0), 30_000);
});

test('the first lease counts from ready; while it starts the start bound comes on top; paid_until bounds both', () => {
  const ready = clockAt(WALL_MS + 5_000, 6_000);
  const slack = admitted(minute({ paid_until_us: us(WALL_MS + 600_000) }));
  assert.equal(remainingMs(startingLease(slack, 15_000), NOW, 0), 75_000);
  assert.equal(remainingMs(startLease(startingLease(slack, 15_000), ready), ready, 0), 60_000);
  assert.equal(remainingMs(startLease(HELD, ready), ready, 0), 55_000);
});

/** A history: time passes on both clocks, the wall clock may also be stepped, tickets arrive in any order. */
const history = fc.array(
  fc.record({
    passMs: fc.nat(90_000),
    stepMs: fc.constantFrom(0, 0, 0, 0, 3_600_000, -3_600_000, 61_000),
    seq: fc.integer({ min: 1, max: 12 }),
  }),
  { maxLength: 40 },
);

test('[I-01] [I-04] law: over any history, running time never exceeds the durations of the admitted tickets, each counted once', () => {
  fc.assert(
    fc.property(history, (steps) => {
      let wallMs = WALL_MS;
      let monotonicMs = 1_000;
      let lease: Lease | undefined;
      let ranMs = 0;
      const paid = new Map<number, number>();
      for (const { passMs, stepMs, seq } of steps) {
        const left = lease ? remainingMs(lease, clockAt(wallMs, monotonicMs), WARDEN_MARGIN_MS) : 0;
        ranMs += Math.max(0, Math.min(left, passMs));
        wallMs += passMs + stepMs;
        monotonicMs += passMs;
        const ticket = minute({ seq, paid_until_us: us(WALL_MS + seq * 60_000) });
        const next = admit(ticket, lease, clockAt(wallMs, monotonicMs));
        if ('rejection' in next) continue;
        assert.ok(!paid.has(seq), 'a ticket counts once');
        assert.ok(next.seq > (lease?.seq ?? 0));
        paid.set(seq, 60_000);
        lease = next;
      }
      const paidMs = [...paid.values()].reduce((sum, ms) => sum + ms, 0);
      assert.ok(ranMs <= paidMs, `ran ${ranMs} of ${paidMs} paid ms`);
    }),
    { numRuns: 300 },
  );
});
