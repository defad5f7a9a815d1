// How long money lasts: by hand, and while minutes are sold.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { burnMicrosPerHour, fundedUntilUs, type SandboxState } from '@tallystick/hosting';
import { userAccount } from '@tallystick/kernel';
import { funded, OWNER } from './testing.ts';

const NOW_US = 1_000_000_000n;
const SECOND_US = 1_000_000n;
const HOUR_US = 3_600n * SECOND_US;
const YEAR_US = 365n * 24n * HOUR_US;

const machine = (stepMicros: bigint, paidS: bigint, more: Partial<SandboxState> = {}): SandboxState =>
  ({
    status: 'running',
    quantum_ms: 60_000,
    price_micros_per_quantum: String(stepMicros),
    paid_until_us: String(NOW_US + paidS * SECOND_US),
    ...more,
  }) as SandboxState;

const ROWS: [what: string, machines: SandboxState[], availableMicros: bigint, lastsUs: bigint | undefined][] = [
  ['nothing costs anything', [], 5_000n, undefined],
  ['balance alone', [machine(100n, 0n)], 6_000n, HOUR_US],
  ['what is paid comes first', [machine(100n, 30n)], 6_000n, HOUR_US + 30n * SECOND_US],
  ['no money: to the end of what is paid', [machine(100n, 30n)], 0n, 30n * SECOND_US],
  ['one that stands still has nothing paid', [machine(100n, -5n, { status: 'frozen' })], 6_000n, HOUR_US],
  ['one that starts: its step, not its allowance', [machine(100n, 90n, { status: 'starting' })], 0n, 60n * SECOND_US],
  ['two share the money', [machine(100n, 0n), machine(300n, 0n)], 24_000n, HOUR_US],
  ['no later than in a hundred years', [machine(1n, 0n)], 9_007_199_254_740_991n, 100n * YEAR_US],
];

for (const [what, machines, availableMicros, lastsUs] of ROWS)
  test(`how long money lasts: ${what}`, () => {
    const untilUs = fundedUntilUs(machines, availableMicros, NOW_US);
    assert.equal(untilUs === undefined ? undefined : untilUs - NOW_US, lastsUs);
  });

test('an hour costs what its steps cost, with steps of any length', () => {
  assert.equal(burnMicrosPerHour([machine(100n, 0n), machine(7n, 0n, { quantum_ms: 1_000 })]), 6_000n + 25_200n);
});

test('the end stays where it is while minutes are sold, and moves with money', () => {
  const b = funded('10000');
  b.openJob();
  b.openSandbox();
  b.started();
  const end = () => fundedUntilUs([b.sandbox()], b.on(userAccount(OWNER)) ?? 0n, b.nowUs);
  const before = end();
  b.pass(300_000);
  assert.ok(b.sandbox().minutes_sold > 4);
  assert.equal(end(), before);
  const more = { deposit_id: 'dep_2', amount_micros: '360', source: 'development', reference: '' };
  b.ask('platform', `account:${OWNER}`, 'CreditDeposit', more);
  assert.equal(end()! - before!, 60n * SECOND_US, 'a minute more for the price of a minute');
});
