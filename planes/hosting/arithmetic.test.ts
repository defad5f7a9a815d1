// Prices, clamps and the arithmetic of sold steps, row by row.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command } from '@tallystick/kernel';
import fc from 'fast-check';
import { type Bound, clamp, mergeClamps, spendClamp } from './clamp.ts';
import { imageOf } from './images.ts';
import {
  escrowMicros,
  fundsRetryMs,
  paidBetweenUs,
  refundMicros,
  renewBeforeMs,
  settlementAt,
  stoppedAtUs,
} from './lease.ts';
import { allowsShape, DEFAULT_POLICY, isAsStrong } from './policy.ts';
import { pricePerMinute, pricePerQuantum } from './price.ts';
import { NO_SANDBOX, type SandboxState } from './sandbox-state.ts';

const S = 1_000_000n;

test('a price is the ceiling of the sum of its parts', () => {
  assert.equal(pricePerMinute({ cpu_millis: 1_000, ram_mib: 1_024, disk_mib: 1_024 }), 505n);
  assert.equal(pricePerMinute({ cpu_millis: 1_000, ram_mib: 512, disk_mib: 512 }), 453n);
  assert.equal(pricePerMinute({ cpu_millis: 1, ram_mib: 0, disk_mib: 0 }), 1n);
  assert.equal(pricePerQuantum(453n, 60_000), 453n);
  assert.equal(pricePerQuantum(453n, 1_000), 8n);
  assert.equal(pricePerQuantum(0n, 1_000), 1n);
});

const policy = (max: bigint): Bound => ({ rule: 'user_policy', max });
const job = (max: bigint): Bound => ({ rule: 'job_remaining', max });
const CLAMPS: [bigint, Bound[], bigint, string][] = [
  [5n, [policy(9n), job(7n)], 5n, ''],
  [7n, [policy(9n), job(7n)], 7n, ''],
  [8n, [policy(9n), job(7n)], 7n, 'job_remaining'],
  [9n, [policy(6n), job(7n)], 6n, 'user_policy'],
  [9n, [policy(7n), job(7n)], 7n, 'user_policy'],
];
for (const [asked, bounds, effective, rule] of CLAMPS)
  test(`[I-07] asked ${asked} under ${bounds.map(({ max }) => max)} is ${effective} by "${rule}"`, () => {
    assert.deepEqual(clamp(asked, ...bounds), { effective, rule });
  });

test('a later clamp of a field takes the place of the earlier one', () => {
  const first = spendClamp('a', 5n, { effective: 5n, rule: '' });
  const second = spendClamp('a', 9n, { effective: 7n, rule: 'user_policy' });
  const other = spendClamp('b', 1n, { effective: 1n, rule: '' });
  assert.deepEqual(mergeClamps([first, other], [second]), [other, second]);
});

test('the next step is sold early enough for short and long steps', () => {
  assert.deepEqual(
    [1_000, 2_000, 10_000, 60_000].map((quantumMs) => renewBeforeMs(quantumMs)),
    [500, 800, 4_000, 20_000],
  );
  assert.deepEqual(
    [0, 8_000, 20_000, 100_000].flatMap((waitedMs) =>
      [1_000, 60_000].map((quantumMs) => fundsRetryMs(quantumMs, waitedMs)),
    ),
    [500, 1_000, 1_000, 1_000, 2_500, 2_500, 4_000, 4_000],
  );
});

/** Started at 0, steps of 60 s at 120 micros. */
function running(steps: [number, number][], more: Partial<SandboxState> = {}): SandboxState {
  const open_steps = steps.map(([startS, endS], i) => ({
    seq: i + 1,
    starts_at_us: String(BigInt(startS * 1_000) * 1_000n),
    ends_at_us: String(BigInt(endS * 1_000) * 1_000n),
    price_micros: '120',
  }));
  return {
    ...NO_SANDBOX,
    status: 'running',
    quantum_ms: 60_000,
    price_micros_per_quantum: '120',
    charged_micros: String(120 * steps.length),
    open_steps,
    paid_until_us: open_steps.at(-1)!.ends_at_us,
    started_at_us: '0',
    ...more,
  };
}

const TWO: [number, number][] = [
  [0, 60],
  [60, 120],
];
const REFUNDS: [string, SandboxState, bigint, bigint][] = [
  ['never started: everything', running(TWO, { started_at_us: null }), 0n, 240n],
  ['stopped at once: everything', running([[0, 60]]), 0n, 120n],
  ['the second in progress is not given back', running([[0, 60]]), 1n, 118n],
  ['59 whole seconds unused', running([[0, 60]]), S, 118n],
  ['in the middle of the first of two', running(TWO), 30n * S + 500_000n, 178n],
  ['in the middle of the second', running(TWO), 90n * S, 60n],
  ['less than a second unused', running(TWO), 119n * S + 1n, 0n],
  ['all used', running(TWO), 120n * S, 0n],
  ['stood still for longer than a step', running(TWO, { undelivered_us: String(90n * S) }), 120n * S, 180n],
  ['stood still for ten paid seconds', running(TWO, { undelivered_us: String(10n * S) }), 120n * S, 20n],
  [
    'a step sold after a gap was never delivered',
    running([
      [0, 60],
      [90, 150],
    ]),
    60n * S,
    120n,
  ],
  [
    'a whole step that is no whole number of seconds',
    {
      ...running([
        [0, 60],
        [60, 61.5],
      ]),
      quantum_ms: 1_500,
    },
    60n * S,
    120n,
  ],
  ['never more than lies in escrow', running(TWO, { settled_micros: '200' }), 0n, 40n],
];
for (const [what, state, ranUntilUs, refund] of REFUNDS)
  test(`[I-06] refund: ${what}`, () => {
    assert.equal(refundMicros(state, ranUntilUs, 0), refund);
  });

test('[I-01] what is kept covers what the machine measured, whatever its clock says', () => {
  assert.equal(refundMicros(running(TWO), 0n, 45_001), 149n);
  assert.equal(refundMicros(running(TWO), 0n, 120_000), 0n);
  assert.equal(refundMicros(running(TWO), 0n, 999_000), 0n);
});

test('steps are settled once a loss of them would have been noticed', () => {
  assert.deepEqual(settlementAt(running(TWO), 229n * S), { seq: 0, amountMicros: 0n });
  assert.deepEqual(settlementAt(running(TWO), 230n * S), { seq: 1, amountMicros: 120n });
  assert.deepEqual(settlementAt(running(TWO), 290n * S), { seq: 2, amountMicros: 240n });
  const stoodStill = running(TWO, { undelivered_us: String(10n * S) });
  assert.deepEqual(settlementAt(stoodStill, 230n * S), { seq: 1, amountMicros: 100n });
  assert.deepEqual(settlementAt(running(TWO, { undelivered_us: String(999n * S) }), 290n * S), {
    seq: 2,
    amountMicros: 0n,
  });
  assert.equal(
    paidBetweenUs(
      running([
        [0, 60],
        [90, 150],
      ]),
      50n * S,
      100n * S,
    ),
    20n * S,
  );
});

test('it stopped when it ended, when its paid time was over or when it froze, whichever was first', () => {
  const state = running(TWO);
  assert.equal(stoppedAtUs(state, 200n * S), 120n * S);
  assert.equal(stoppedAtUs(state, 30n * S), 30n * S);
  assert.equal(stoppedAtUs({ ...state, frozen_at_us: String(20n * S) }, 30n * S), 20n * S);
  assert.equal(stoppedAtUs({ ...state, started_at_us: String(50n * S) }, 30n * S), 50n * S);
});

test('[I-06] a refund never grows with the time that was used, and never passes the charge', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 130n * S }), fc.bigInt({ min: 0n, max: 60n * S }), (ranUs, moreUs) => {
      const state = running(TWO);
      const [early, late] = [refundMicros(state, ranUs, 0), refundMicros(state, ranUs + moreUs, 0)];
      assert.ok(late <= early && early <= escrowMicros(state));
      const paidUs = 120n * S - (early * 60n * S) / 120n;
      assert.ok(paidUs >= (ranUs > 120n * S ? 120n * S : ranUs), 'what is kept covers what ran');
    }),
  );
});

test('the policy knows its levels and its newest image', () => {
  const tier = DEFAULT_POLICY.tiers.standard;
  assert.equal(isAsStrong('vm', 'ns'), true);
  assert.equal(isAsStrong('ns', 'ns'), true);
  assert.equal(isAsStrong('ns-lite', 'ns'), false);
  assert.equal(isAsStrong('none', 'mock'), false);
  const shape = { isolation: 'ns', cpu_millis: 1, ram_mib: 1, disk_mib: 1 };
  assert.equal(allowsShape(tier, shape), true);
  assert.equal(allowsShape(tier, { ...shape, ram_mib: tier.ram_mib_max + 1 }), false);
});

test('an image is started by a digest that stands on the list, or as its machine measures it, and by no other', () => {
  const [measured, other] = ['a'.repeat(64), 'b'.repeat(64)];
  const asking = (image: string, image_digest: string, asked_image_digest = ''): Command => {
    const body = { image, image_digest, asked_image_digest };
    return { principal: 'p', key: 'k', stream: 'sandbox:s', type: 'OpenSandbox', body };
  };
  const name = 'sandbox-base:v1.0.0';
  assert.deepEqual(imageOf(asking('', measured)), { name, digest: measured });
  assert.deepEqual(imageOf(asking(name, measured, measured)), { name, digest: measured });
  const unknown = { rejection: 'UNKNOWN_IMAGE', facts: { image: 'evil:v1.0.0', allowed: [name] } };
  assert.deepEqual(imageOf(asking('evil:v1.0.0', measured)), unknown);
  const built = [{ name: 'debian:v1.0.0', digests: [measured] }];
  const rows: [Command, typeof built | undefined, string, string][] = [
    [asking(name, ''), undefined, 'measured', ''],
    [asking(name, 'short'), undefined, 'measured', 'short'],
    [asking(name, measured, other), undefined, other, measured],
    [asking('', other), built, measured, other],
  ];
  for (const [command, images, asked, available] of rows) {
    const facts = { image: images?.[0]?.name ?? name, asked, available };
    assert.deepEqual(imageOf(command, images), { rejection: 'IMAGE_DIGEST_MISMATCH', facts });
  }
  assert.deepEqual(imageOf(asking('', measured), built), { name: 'debian:v1.0.0', digest: measured });
});
