// How many withdrawals there may be, and how small: each costs the platform gas.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dayWithdrawalsAccount, type JsonObject, type Outcome } from '@tallystick/kernel';
import { PAYOUT_POLICY, withdrawalStream } from '@tallystick/treasury';
import { ANN, DAY_US, newPayoutBench, type PayoutBench } from './payout-bench.ts';

const { standard } = PAYOUT_POLICY.tiers;
const PLENTY = '5000000000';

const cancel = (b: PayoutBench, id: string): Outcome => b.ask(ANN, withdrawalStream(id), 'CancelWithdrawal');

type Row = [
  what: string,
  scene: (b: PayoutBench) => void,
  act: (b: PayoutBench) => Outcome,
  rejection: string,
  facts: JsonObject,
];
const ROWS: Row[] = [
  [
    'of less than the chain is worth sending on',
    () => {},
    (b) => b.withdraw('999999', { min_micros: '1000000' }),
    'WITHDRAWAL_TOO_SMALL',
    { cap: 'withdraw_micros_min', cap_micros: '1000000', asked_micros: '999999' },
  ],
  [
    'while as many are on their way as may be',
    (b) => void [0, 1, 2, 3, 4].map((n) => b.withdraw('10000', {}, `wdr_open_${n}`)),
    (b) => b.withdraw('10000'),
    'POLICY_CAP_EXCEEDED',
    { cap: 'withdrawals_open_max', asked: '1', available: '0', tier: 'standard' },
  ],
  [
    'after as many as may be asked for in a day, whatever became of them',
    (b) => {
      for (let n = 0; n < standard.withdrawals_per_day_max; n++) {
        b.withdraw('10000', {}, `wdr_day_${n}`);
        cancel(b, `wdr_day_${n}`);
      }
    },
    (b) => b.withdraw('10000'),
    'POLICY_CAP_EXCEEDED',
    { cap: 'withdrawals_per_day_max', asked: '1', available: '0', tier: 'standard' },
  ],
];
for (const [what, scene, act, rejection, facts] of ROWS)
  test(`a withdrawal is refused: ${what}`, () => {
    const b = newPayoutBench();
    b.deposit(PLENTY);
    scene(b);
    const outcome = act(b);
    assert.deepEqual([outcome.rejection, outcome.facts], [rejection, facts]);
  });

test('each that has ended makes room for another, and the next day begins anew', () => {
  const b = newPayoutBench();
  b.deposit(PLENTY);
  const next = (id: string) => b.withdraw('10000', {}, id).rejection;
  for (let n = 0; n < standard.withdrawals_open_max; n++) assert.equal(next(`wdr_${n}`), undefined);
  for (const [n, end] of [
    () => cancel(b, 'wdr_0'),
    () => b.conclude(true),
    () => b.conclude(false, 'wdr_2'),
  ].entries()) {
    if (n > 0) b.sign(String(n - 1), `wdr_${n}`);
    assert.equal(next('wdr_over'), 'POLICY_CAP_EXCEEDED');
    assert.equal(end().rejection, undefined);
    assert.equal(next(`wdr_more_${n}`), undefined, String(n));
  }
  assert.equal(b.on(dayWithdrawalsAccount(ANN, '2026-01-01')), 8n);
  b.nowUs += DAY_US;
  cancel(b, 'wdr_3');
  assert.equal(next('wdr_tomorrow'), undefined);
  assert.equal(b.on(dayWithdrawalsAccount(ANN, '2026-01-02')), 1n);
});
