/** What a wallet pays by itself: each rule and its refusal; and the law that no interleaving gets above a day's limit. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PaymentOption, PaymentRequired } from '@tallystick/surface/client';
import fc from 'fast-check';
import {
  ApiError,
  type IntentStatus,
  isSpent,
  memoryIntents,
  newPrivateKey,
  type PaymentIntent,
  type SpendLimits,
  signerOfPrivateKey,
  spendGuard,
} from '../index.ts';
import { DAY_MS, READABLE_MAX, withPut } from './intents.ts';
import { judge, PAYMENTS_PER_DAY_MAX } from './limits.ts';

const NOW_MS = 1_790_000_000_000;
const PAYEE = { network: 'eip155:8453', asset: `0x${'a'.repeat(40)}`, payTo: `0x${'b'.repeat(40)}` };
const LIMITS: SpendLimits = { perPaymentMicros: 1_000n, perDayMicros: 2_500n, allow: [PAYEE] };
const CALL = { origin: 'http://platform', account: 'ours', key: 'mine' };
const nonce = (n: number): string => `0x${String(n).padStart(64, '0')}`;

function option(amountMicros: bigint, change: Partial<PaymentOption> = {}, n = 1): PaymentOption {
  const extra = { name: 'USD Coin', version: '2', quoteId: `quo_${n}`, authNonce: nonce(n) };
  return { scheme: 'exact', ...PAYEE, amountMicros, maxTimeoutS: 60, extra, written: {}, ...change };
}

const labelled = (amountMicros: bigint, label: string): PaymentOption =>
  option(amountMicros, { extra: { ...option(1n).extra, label } });

const offer = (...options: PaymentOption[]): PaymentRequired => ({ error: '', options });

function intent(change: Partial<PaymentIntent> & { status: IntentStatus }): PaymentIntent {
  const offered = { nonce: nonce(9), quote_id: 'quo_9', network: '', asset: '', pay_to: '', label: '', offer: {} };
  const at = { at_ms: NOW_MS - 1, expires_at_ms: NOW_MS, valid_before_s: 0 };
  const rest = {
    approved_micros: change.status === 'approved' ? '9000' : '0',
    call: '',
    cause: '',
    from: '',
    tx: '',
    header: 'signed',
  };
  return { id: 'pay_9', ...CALL, key: 'other', turn: 1, amount_micros: '1000', ...offered, ...at, ...rest, ...change };
}

/** For the first offer, usable for so long. */
const sameOffer = (status: IntentStatus, usableS: number): PaymentIntent =>
  intent({ status, key: 'mine', quote_id: 'quo_1', nonce: nonce(1), valid_before_s: NOW_MS / 1000 + usableS });

interface Row {
  rule: string;
  required: PaymentRequired;
  limits?: Partial<SpendLimits>;
  earlier?: PaymentIntent[];
  /** Kind and amount, or kind and limit; or a refusal's code and one fact. */
  gives: unknown[];
}

const signedAt = (at_ms: number, micros: string, n: number) =>
  intent({ id: `pay_${n}`, status: 'settled', at_ms, amount_micros: micros, nonce: nonce(n) });

const ROWS: Row[] = [
  { rule: 'within both limits it pays', required: offer(option(1_000n)), gives: ['pay', 1_000n] },
  {
    rule: 'another scheme is refused',
    required: offer(option(1n, { scheme: 'upto' })),
    gives: ['payment_payee_refused', 'allow'],
  },
  {
    rule: 'another network is refused',
    required: offer(option(1n, { network: 'eip155:1' })),
    gives: ['payment_payee_refused', 'allow'],
  },
  {
    rule: 'another token is refused',
    required: offer(option(1n, { asset: PAYEE.payTo })),
    gives: ['payment_payee_refused', 'allow'],
  },
  {
    rule: 'another payee is refused',
    required: offer(option(1n, { payTo: PAYEE.asset })),
    gives: ['payment_payee_refused', 'allow'],
  },
  {
    rule: 'nobody is paid when nobody is allowed',
    required: offer(option(1n)),
    limits: { allow: [] },
    gives: ['payment_payee_refused', 'allow'],
  },
  {
    rule: 'addresses are compared without regard to case',
    required: offer(option(1n, { payTo: PAYEE.payTo.toUpperCase().replace('0X', '0x') })),
    gives: ['pay', 1n],
  },
  {
    rule: 'a foreign option is passed over for an allowed one',
    required: offer(option(1n, { network: 'eip155:1' }), option(7n)),
    gives: ['pay', 7n],
  },
  {
    rule: 'an offer without a nonce is refused',
    required: offer(option(1n, { extra: {} })),
    gives: ['payment_offer_invalid', undefined],
  },
  {
    rule: 'a nonce that was signed for another call is refused',
    required: offer(option(1n)),
    earlier: [intent({ status: 'bound', nonce: nonce(1) })],
    gives: ['payment_offer_invalid', undefined],
  },
  {
    rule: 'a nonce whose payment was taken is refused',
    required: offer(option(1n)),
    earlier: [intent({ status: 'settled', key: 'mine', quote_id: 'quo_1', nonce: nonce(1), header: '' })],
    gives: ['payment_offer_invalid', undefined],
  },
  {
    rule: 'the same offer gets the same payment, whatever the limits are by now',
    required: offer(option(1_000n)),
    limits: { perPaymentMicros: 0n },
    earlier: [sameOffer('signed', 16)],
    gives: ['again', 'signed'],
  },
  {
    rule: 'a payment that is about to die is neither sent nor signed anew',
    required: offer(option(1_000n)),
    earlier: [sameOffer('signed', 15)],
    gives: ['payment_unresolved', undefined],
  },
  {
    rule: 'the same offer is paid by the same nonce when its payment is dead',
    required: offer(option(1_000n)),
    earlier: [sameOffer('signed', -60)],
    gives: ['pay', 1_000n],
  },
  {
    rule: 'what is dead may have been taken before: it counts',
    required: offer(option(1_000n)),
    limits: { perDayMicros: 1_999n },
    earlier: [sameOffer('signed', -60)],
    gives: ['above', 'per_day', 1_999n, 999n],
  },
  {
    rule: 'credit for another account is refused',
    required: offer(option(1n, { extra: { ...option(1n).extra, creditAccount: 'theirs' } })),
    limits: { account: 'mine' },
    gives: ['payment_payee_refused', 'account'],
  },
  {
    rule: 'another offer while a payment may be taken is refused',
    required: offer(option(1n)),
    earlier: [intent({ status: 'signed', key: 'mine', valid_before_s: NOW_MS / 1000 })],
    gives: ['payment_unresolved', undefined],
  },
  {
    rule: 'another offer after a dead payment is paid',
    required: offer(option(1n)),
    earlier: [intent({ status: 'signed', key: 'mine', valid_before_s: NOW_MS / 1000 - 61 })],
    gives: ['pay', 1n],
  },
  {
    rule: 'another offer after a payment that the platform carried is paid',
    required: offer(option(1n)),
    earlier: [intent({ status: 'bound', key: 'mine', valid_before_s: NOW_MS / 1000 + 99 })],
    gives: ['pay', 1n],
  },
  {
    rule: 'one micro above one payment is above',
    required: offer(option(1_001n)),
    gives: ['above', 'per_payment', 1_000n, 1_000n],
  },
  {
    rule: 'a limit of zero asks always',
    required: offer(option(1n)),
    limits: { perPaymentMicros: 0n },
    gives: ['above', 'per_payment', 0n, 0n],
  },
  {
    rule: 'what is left of a day is enough to the micro',
    required: offer(option(500n)),
    earlier: [signedAt(NOW_MS - 1, '1000', 8), signedAt(NOW_MS - DAY_MS + 1, '1000', 9)],
    gives: ['pay', 500n],
  },
  {
    rule: 'one micro above what is left of a day is above',
    required: offer(option(501n)),
    earlier: [signedAt(NOW_MS - 1, '1000', 8), signedAt(NOW_MS - DAY_MS + 1, '1000', 9)],
    gives: ['above', 'per_day', 2_500n, 500n],
  },
  {
    rule: 'yesterday does not count',
    required: offer(option(1_000n)),
    earlier: [signedAt(NOW_MS - DAY_MS, '2500', 8)],
    gives: ['pay', 1_000n],
  },
  {
    rule: 'a clock that was set back does not make room',
    required: offer(option(1n)),
    earlier: [signedAt(NOW_MS + DAY_MS, '2500', 8)],
    gives: ['above', 'per_day', 2_500n, 0n],
  },
  {
    rule: 'what was refused does not count',
    required: offer(option(1_000n)),
    earlier: [intent({ status: 'refused', amount_micros: '999999' })],
    gives: ['pay', 1_000n],
  },
  {
    rule: 'what a person allowed for this call passes both limits',
    required: offer(option(9_000n)),
    earlier: [intent({ status: 'approved', key: 'mine', amount_micros: '9000' })],
    gives: ['pay', 9_000n],
  },
  {
    rule: 'and not a micro more',
    required: offer(option(9_001n)),
    earlier: [intent({ status: 'approved', key: 'mine', amount_micros: '9000' })],
    gives: ['above', 'per_payment', 1_000n, 1_000n],
  },
  {
    rule: 'and not for another call',
    required: offer(option(9_000n)),
    earlier: [intent({ status: 'approved', amount_micros: '9000' })],
    gives: ['above', 'per_payment', 1_000n, 1_000n],
  },
  {
    rule: 'nor for the same key at another platform',
    required: offer(option(9_000n)),
    earlier: [intent({ status: 'approved', key: 'mine', origin: 'http://elsewhere' })],
    gives: ['above', 'per_payment', 1_000n, 1_000n],
  },
  {
    rule: 'nor for the same key of another account',
    required: offer(option(9_000n)),
    earlier: [intent({ status: 'approved', key: 'mine', account: 'theirs' })],
    gives: ['above', 'per_payment', 1_000n, 1_000n],
  },
  {
    rule: 'an account that was not known then may be this one',
    required: offer(option(9_000n)),
    earlier: [intent({ status: 'approved', key: 'mine', account: '' })],
    gives: ['pay', 9_000n],
  },
  {
    rule: 'a payment under way at another platform does not hold up this one',
    required: offer(option(1n)),
    earlier: [
      intent({ status: 'signed', key: 'mine', origin: 'http://elsewhere', valid_before_s: NOW_MS / 1000 + 99 }),
    ],
    gives: ['pay', 1n],
  },
  {
    rule: 'a nonce that was signed for the same key at another platform is refused',
    required: offer(option(1n)),
    earlier: [{ ...sameOffer('signed', 99), origin: 'http://elsewhere' }],
    gives: ['payment_offer_invalid', undefined],
  },
  {
    rule: 'who wants to be asked is asked within the limits: they hold what is left of the day',
    required: offer(option(1n)),
    limits: { askAlways: true },
    earlier: [signedAt(NOW_MS - 1, '2000', 8)],
    gives: ['above', 'ask_always', 1_000n, 500n],
  },
  {
    rule: 'or one payment',
    required: offer(option(1_000n)),
    limits: { askAlways: true },
    gives: ['above', 'ask_always', 1_000n, 1_000n],
  },
  {
    rule: 'and hears of the limit that is in the way, where one is',
    required: offer(option(501n)),
    limits: { askAlways: true },
    earlier: [signedAt(NOW_MS - 1, '2000', 8)],
    gives: ['above', 'per_day', 2_500n, 500n],
  },
  {
    rule: 'but not about what a person allowed',
    required: offer(option(9_000n)),
    limits: { askAlways: true },
    earlier: [intent({ status: 'approved', key: 'mine' })],
    gives: ['pay', 9_000n],
  },
  { rule: 'the smallest is taken', required: offer(option(600n), option(100n)), gives: ['pay', 100n] },
  {
    rule: 'the preferred is taken when the limits hold it',
    required: offer(option(100n), labelled(600n, '6h')),
    limits: { prefer: '6h' },
    gives: ['pay', 600n],
  },
  {
    rule: 'else the smallest',
    required: offer(option(100n), labelled(1_001n, '6h')),
    limits: { prefer: '6h' },
    gives: ['pay', 100n],
  },
  {
    rule: 'more payments than a day has are above',
    required: offer(option(1n)),
    earlier: Array.from({ length: PAYMENTS_PER_DAY_MAX }, (_, n) => signedAt(NOW_MS - 1, '1', n + 10)),
    limits: { perDayMicros: 1_000_000n },
    gives: ['above', 'payments_per_day', 1_000_000n, 0n],
  },
];

function outcome({ required, limits, earlier = [] }: Row): unknown[] {
  try {
    const verdict = judge(earlier, { required, call: CALL, limits: { ...LIMITS, ...limits }, nowMs: NOW_MS });
    if (verdict.kind === 'again') return ['again', verdict.intent.header];
    if (verdict.kind === 'pay') return ['pay', verdict.option.amountMicros];
    const { cap, capMicros, availableMicros, perPaymentMicros, perDayMicros } = verdict.above;
    const { perPaymentMicros: one, perDayMicros: day } = { ...LIMITS, ...limits };
    assert.deepEqual([perPaymentMicros, perDayMicros], [one, day], 'the limits are told as they are');
    return ['above', cap, capMicros, availableMicros];
  } catch (fault) {
    assert.ok(fault instanceof ApiError, String(fault));
    return [fault.code, fault.problem['cap']];
  }
}

describe('what a wallet pays by itself', () => {
  for (const row of ROWS) test(row.rule, () => assert.deepEqual(outcome(row), row.gives));
});

const steps = fc.array(
  fc.record({
    key: fc.nat({ max: 5 }),
    round: fc.nat({ max: 2 }),
    micros: fc.bigInt({ min: 1n, max: 1_500n }),
    waitMs: fc.nat({ max: DAY_MS / 3 }),
    dies: fc.boolean(),
    settles: fc.boolean(),
  }),
  { minLength: 1, maxLength: 25 },
);

test('[I-44] whatever is asked for, dies, settles or comes at once, no 24 hours hold more than the limit of a day', async () => {
  const signer = signerOfPrivateKey(newPrivateKey());
  await fc.assert(
    fc.asyncProperty(steps, async (asked) => {
      let nowMs = NOW_MS;
      const intents = memoryIntents(() => nowMs);
      const all = new Map<string, PaymentIntent>();
      const ask = async ({ key, round, micros, waitMs, dies, settles }: (typeof asked)[number]) => {
        nowMs += waitMs;
        const guard = spendGuard({ ...LIMITS, signer, intents, nowMs: () => nowMs });
        const required = offer(option(micros, {}, key * 3 + round));
        const call = { idempotencyKey: `key ${key}`, method: 'POST', url: 'http://platform/', signal: undefined };
        const header = await guard.pay(required, call).catch(() => undefined);
        if (header !== undefined && !dies && settles)
          await guard.settled!(
            { transaction: '', network: '', payer: '', amountMicros: micros, idempotencyKey: call.idempotencyKey },
            call,
          );
        for (const one of await intents.read()) if (isSpent(one)) all.set(one.id, one);
      };
      for (let at = 0; at < asked.length; at += 3) await Promise.all(asked.slice(at, at + 3).map(ask));
      for (const { at_ms } of all.values()) {
        const day = [...all.values()].filter((one) => one.at_ms >= at_ms && one.at_ms < at_ms + DAY_MS);
        const spent = day.reduce((sum, one) => sum + BigInt(one.amount_micros), 0n);
        assert.ok(spent <= LIMITS.perDayMicros, `${spent} in a day`);
      }
    }),
    { numRuns: 40 },
  );
});

test('the header of a settled payment goes when it could not be used again', () => {
  const settled = (valid_before_s: number) => intent({ status: 'settled', valid_before_s });
  assert.equal(withPut([settled(NOW_MS / 1000)], [], NOW_MS)[0]?.header, 'signed');
  assert.equal(withPut([settled(NOW_MS / 1000 - 61)], [], NOW_MS)[0]?.header, '');
});

test('what people only read is kept within a bound; what limits and repeats need is kept', () => {
  const refused = Array.from({ length: 3 * READABLE_MAX }, (_, n) =>
    intent({ id: `pay_r${n}`, status: 'refused', at_ms: NOW_MS + n, header: '' }),
  );
  const needed = [
    intent({ id: 'pay_old', status: 'signed', at_ms: NOW_MS - 9 * DAY_MS, valid_before_s: NOW_MS / 1000 }),
    intent({ id: 'pay_today', status: 'settled', at_ms: NOW_MS - 1 }),
  ];
  const kept = withPut([...needed, ...refused], [], NOW_MS);
  assert.equal(kept.length, READABLE_MAX + 2);
  assert.deepEqual(
    kept.slice(0, 2).map(({ id }) => id),
    ['pay_old', 'pay_today'],
  );
  assert.equal(kept.at(-1)?.id, refused.at(-1)?.id);
});
