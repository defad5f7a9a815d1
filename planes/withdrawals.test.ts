// Withdrawals: one row per command and refusal, and the laws over random histories.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  chainAccount,
  type JsonObject,
  monthOutAccount,
  monthOutCapAccount,
  type Outcome,
  standingStream,
  type World,
  withdrawalAccount,
  withdrawingAccount,
  withdrawnAccount,
} from '@tallystick/kernel';
import { deciderLaws, type LawCommand } from '@tallystick/kernel/laws';
import { BROADCAST_TOPIC, PAYOUT_POLICY, type RailState, railStream, withdrawalStream } from '@tallystick/treasury';
import fc from 'fast-check';
import { RULES } from './index.ts';
import {
  ANN,
  ANN_ADDRESS,
  BOB,
  balanceOf,
  DAY_US,
  FACTORY,
  FORWARDER,
  newPayoutBench,
  OTHER,
  type PayoutBench,
  RAIL,
  RELAYER,
  TOKEN,
  TREASURY,
} from './payout-bench.ts';

const { new: low, standard } = PAYOUT_POLICY.tiers;
const MONTH = '2026-01';
const ADDRESS_CHARS = 42;
const PLENTY = '5000000000';
const SAID = { by: 'eip155:1:0xadmin', reason: 'abuse' };
const standingOf = (b: PayoutBench, type: string, body: JsonObject = {}) =>
  b.ask('platform', standingStream(ANN), type, { ...SAID, ...body });
const short = (b: PayoutBench) => b.look({ treasury: '0' });
const stopped = (b: PayoutBench) => void [short(b), short(b)];

type Row = [
  what: string,
  scene: (b: PayoutBench) => void,
  act: (b: PayoutBench) => Outcome,
  rejection: string,
  facts?: JsonObject,
];

const REQUESTS: Row[] = [
  ['by whoever has no account', () => {}, (b) => b.withdraw('10000', {}, 'wdr_1', 'eip155:1:0xcc'), 'NOT_FOUND'],
  ['a second time', (b) => b.withdraw('10000'), (b) => b.withdraw('10000'), 'ALREADY_EXISTS', { id: 'wdr_1' }],
  ['under somebody else’s id', (b) => b.withdraw('10000'), (b) => b.withdraw('10000', {}, 'wdr_1', BOB), 'NOT_FOUND'],
  [
    'while suspended, before anything else is looked at',
    (b) => standingOf(b, 'Suspend'),
    (b) => b.withdraw('-5'),
    'ACCOUNT_SUSPENDED',
    { reason: 'abuse' },
  ],
  ['on a chain that nobody watches', () => {}, (b) => b.withdraw('10000', { rail: 'eip155:1/00' }), 'WITHDRAWALS_OFF'],
  [
    'while money is missing on the chain',
    stopped,
    (b) => b.withdraw('-5'),
    'RESERVES_DISAGREE',
    { missing_micros: PLENTY, ledger_micros: PLENTY, chain_micros: '0', since: '2026-01-01T00:00:00.000Z' },
  ],
  ['of nothing', () => {}, (b) => b.withdraw('0'), 'AMOUNT_NOT_POSITIVE', { amount_micros: '0' }],
  ['of less than nothing', () => {}, (b) => b.withdraw('-1'), 'AMOUNT_NOT_POSITIVE', { amount_micros: '-1' }],
  [
    'of less than is worth sending',
    () => {},
    (b) => b.withdraw('9999'),
    'WITHDRAWAL_TOO_SMALL',
    { cap: 'withdraw_micros_min', cap_micros: '10000', asked_micros: '9999' },
  ],
  [
    'to an address that was never proven',
    () => {},
    (b) => b.withdraw('10000', { to: OTHER }),
    'PAYOUT_ADDRESS_UNKNOWN',
    { address: OTHER },
  ],
  [
    'to an address that was asked for and not proven',
    (b) => b.askPayout(),
    (b) => b.withdraw('10000', { to: OTHER }),
    'PAYOUT_ADDRESS_UNKNOWN',
    { address: OTHER },
  ],
  [
    'to an address a microsecond before its day is over',
    (b) => {
      b.askPayout();
      b.prove();
      b.nowUs += DAY_US - 1n;
    },
    (b) => b.withdraw('10000', { to: OTHER }),
    'PAYOUT_ADDRESS_WAITING',
    { address: OTHER, usable_at: '2026-01-02T00:00:00.000Z' },
  ],
  [
    'to an address that was taken back',
    (b) => {
      b.askPayout();
      b.prove();
      b.nowUs += DAY_US;
      b.ask(ANN, `payout:${ANN}/${RAIL}/${OTHER}`, 'RevokePayout');
    },
    (b) => b.withdraw('10000', { to: OTHER }),
    'PAYOUT_ADDRESS_UNKNOWN',
    { address: OTHER },
  ],
  [
    'to somebody else’s proven address',
    (b) => {
      b.askPayout();
      b.prove();
      b.nowUs += DAY_US;
      b.deposit(PLENTY, BOB);
    },
    (b) => b.withdraw('10000', { to: OTHER }, 'wdr_1', BOB),
    'PAYOUT_ADDRESS_UNKNOWN',
    { address: OTHER },
  ],
  [
    'of more than may leave this month',
    () => {},
    (b) => b.withdraw('1000000001'),
    'WITHDRAWAL_CAP_EXCEEDED',
    {
      cap: 'withdraw_micros_per_month_max',
      asked_micros: '1000000001',
      available_micros: standard.withdraw_micros_per_month_max,
      tier: 'standard',
      next_month_at: '2026-02-01T00:00:00.000Z',
    },
  ],
  [
    'of what other withdrawals of the month have left of the cap, and one more',
    (b) => b.withdraw('999980000', {}, 'wdr_0'),
    (b) => b.withdraw('20001'),
    'WITHDRAWAL_CAP_EXCEEDED',
    {
      cap: 'withdraw_micros_per_month_max',
      asked_micros: '20001',
      available_micros: '20000',
      tier: 'standard',
      next_month_at: '2026-02-01T00:00:00.000Z',
    },
  ],
  [
    'of more than there is',
    (b) => b.deposit('20000', BOB),
    (b) => b.withdraw('20001', { to: BOB.slice(-ADDRESS_CHARS) }, 'wdr_1', BOB),
    'WITHDRAWAL_OVER_BALANCE',
    { cap: 'available_micros', asked_micros: '20001', available_micros: '20000' },
  ],
  [
    'of the reserve',
    (b) => {
      b.deposit('1500000', BOB);
      b.ask('platform', standingStream(BOB), 'SetTier', { ...SAID, tier: 'new' });
    },
    (b) => b.withdraw('500001', { to: BOB.slice(-ADDRESS_CHARS) }, 'wdr_1', BOB),
    'WITHDRAWAL_RESERVE',
    {
      cap: 'withdraw_reserve_micros',
      asked_micros: '500001',
      available_micros: '500000',
      reserve_micros: low.withdraw_reserve_micros,
    },
  ],
  [
    'of what the platform wants to stay, which is more than its tier does',
    (b) => {
      b.deposit('1500000', BOB);
      b.ask('platform', standingStream(BOB), 'SetTier', { ...SAID, tier: 'new' });
    },
    (b) => b.withdraw('300001', { to: BOB.slice(-ADDRESS_CHARS), reserve_micros: '1200000' }, 'wdr_1', BOB),
    'WITHDRAWAL_RESERVE',
    { cap: 'withdraw_reserve_micros', asked_micros: '300001', available_micros: '300000', reserve_micros: '1200000' },
  ],
  [
    'of the tier’s reserve, which is more than the platform wants to stay',
    (b) => {
      b.deposit('1500000', BOB);
      b.ask('platform', standingStream(BOB), 'SetTier', { ...SAID, tier: 'new' });
    },
    (b) => b.withdraw('500001', { to: BOB.slice(-ADDRESS_CHARS), reserve_micros: '1' }, 'wdr_1', BOB),
    'WITHDRAWAL_RESERVE',
    {
      cap: 'withdraw_reserve_micros',
      asked_micros: '500001',
      available_micros: '500000',
      reserve_micros: low.withdraw_reserve_micros,
    },
  ],
];

for (const [what, scene, act, rejection, facts] of REQUESTS)
  test(`a withdrawal is refused: ${what}`, () => {
    const b = newPayoutBench();
    b.deposit(PLENTY);
    scene(b);
    const outcome = act(b);
    assert.deepEqual([outcome.rejection, outcome.facts], [rejection, facts]);
  });

const OWN: [string, string, string][] = [
  ['the zero address', `0x${'0'.repeat(40)}`, 'nobody has the zero address'],
  ['the token', TOKEN, 'it is the token itself'],
  ['the treasury', TREASURY, 'it is the treasury of this platform'],
  ['the factory', FACTORY, 'it is the contract that makes deposit addresses'],
  ['a deposit address', FORWARDER, 'it is a deposit address of this platform: what arrives there would be a deposit'],
  ['the relayer', RELAYER, 'it is a key of this platform'],
];
for (const [what, address, cause] of OWN)
  test(`refused: a withdrawal to ${what}, and asking to prove it`, () => {
    const b = newPayoutBench();
    b.deposit(PLENTY);
    for (const { rejection, facts } of [b.withdraw('10000', { to: address }), b.askPayout(address)])
      assert.deepEqual([rejection, facts], ['PAYOUT_ADDRESS_REFUSED', { address, cause }]);
  });

const SIGNINGS: Row[] = [
  ['what nobody asked for', () => {}, (b) => b.sign('0', 'wdr_9'), 'NOT_FOUND'],
  [
    'by its owner',
    () => {},
    (b) =>
      b.ask(ANN, withdrawalStream('wdr_1'), 'SignTransaction', {
        rail: RAIL,
        signer: TREASURY,
        principal: ANN,
        nonce: '0',
      }),
    'NOT_FOUND',
  ],
  ['with another key', () => {}, (b) => b.sign('5', 'wdr_1', { signer: RELAYER }), 'NOT_FOUND'],
  ['for another chain', () => {}, (b) => b.sign('0', 'wdr_1', { rail: 'eip155:1/00' }), 'NOT_FOUND'],
  ['twice', (b) => b.sign('0'), (b) => b.sign('1'), 'NOTHING_TO_CHANGE'],
  ['after it is final', (b) => void [b.sign('0'), b.conclude(true)], (b) => b.sign('1'), 'NOTHING_TO_CHANGE'],
  ['with a nonce that is not the next', () => {}, (b) => b.sign('1'), 'NONCE_TAKEN'],
  ['while money is missing on the chain', stopped, (b) => b.sign('0'), 'RESERVES_DISAGREE'],
  ['naming another owner', () => {}, (b) => b.sign('0', 'wdr_1', { principal: BOB }), 'NOT_FOUND'],
  ['of somebody suspended', (b) => standingOf(b, 'Suspend'), (b) => b.sign('0'), 'ACCOUNT_SUSPENDED'],
];
for (const [what, scene, act, rejection] of SIGNINGS)
  test(`refused to sign: ${what}`, () => {
    const b = newPayoutBench();
    b.deposit(PLENTY);
    assert.equal(b.withdraw('10000').rejection, undefined);
    scene(b);
    assert.equal(act(b).rejection, rejection);
  });

test('what a suspended account has held stays held, and is signed when the account is reinstated', () => {
  const b = newPayoutBench();
  b.deposit('1000000');
  b.withdraw('400000');
  standingOf(b, 'Suspend');
  assert.deepEqual([b.sign('0').facts, b.withdrawal().status], [{ reason: 'abuse' }, 'held']);
  standingOf(b, 'Reinstate');
  assert.equal(b.sign('0').rejection, undefined);
});

const cancel = (b: PayoutBench, who = ANN) => b.ask(who, withdrawalStream('wdr_1'), 'CancelWithdrawal');
const CANCELS: Row[] = [
  ['by somebody else', () => {}, (b) => cancel(b, BOB), 'NOT_FOUND'],
  ['by the platform', () => {}, (b) => cancel(b, 'platform'), 'NOT_FOUND'],
  ['after it was signed', (b) => b.sign('0'), (b) => cancel(b), 'WITHDRAWAL_UNDER_WAY', { status: 'signed' }],
  ['twice', (b) => cancel(b), (b) => cancel(b), 'WITHDRAWAL_UNDER_WAY', { status: 'returned' }],
];
for (const [what, scene, act, rejection, facts] of CANCELS)
  test(`a withdrawal is not taken back: ${what}`, () => {
    const b = newPayoutBench();
    b.deposit(PLENTY);
    b.withdraw('10000');
    scene(b);
    const outcome = act(b);
    assert.deepEqual([outcome.rejection, outcome.facts], [rejection, facts]);
  });

test('[I-43] what was taken back before it was signed is the account’s again, and is signed no more', () => {
  const b = newPayoutBench();
  b.deposit('1000000');
  b.withdraw('400000');
  const { answer } = cancel(b);
  assert.equal(((answer as JsonObject)['withdrawal'] as JsonObject)['status'], 'returned');
  assert.deepEqual(
    [moneyOf(b), monthIn(b)],
    [
      [1_000_000n, 0n, 0n],
      [1_000_000_000n, 0n],
    ],
  );
  assert.equal(b.sign('0').rejection, 'NOTHING_TO_CHANGE');
});

const moneyOf = (b: PayoutBench, who = ANN) => [
  balanceOf(b, who),
  b.on(withdrawingAccount(who)) ?? 0n,
  b.on(withdrawnAccount(who)) ?? 0n,
];
const monthIn = (b: PayoutBench) => [b.on(monthOutCapAccount(ANN, MONTH)), b.on(monthOutAccount(ANN, MONTH))];

test('[I-43] a withdrawal is held at once, asks to be sent, and leaves the ledger when it is final', () => {
  const b = newPayoutBench();
  b.deposit('1000000');
  const { answer } = b.withdraw('400000');
  assert.equal(((answer as JsonObject)['withdrawal'] as JsonObject)['status'], 'held');
  assert.deepEqual(
    b.world.outbox.map(({ topic, body }) => [topic, body]),
    [[BROADCAST_TOPIC, { stream: 'withdrawal:wdr_1' }]],
  );
  assert.deepEqual([moneyOf(b), b.on(withdrawalAccount('wdr_1'))], [[600_000n, 400_000n, 0n], 400_000n]);
  assert.equal(b.sign('0').rejection, undefined);
  assert.equal(b.withdrawal().status, 'signed');
  assert.equal(b.on(chainAccount(RAIL, 'treasury')), -1_000_000n);
  assert.equal(b.conclude(true).rejection, undefined);
  assert.deepEqual([b.withdrawal().status, b.withdrawal().to], ['final', ANN_ADDRESS]);
  assert.deepEqual([moneyOf(b), b.on(withdrawalAccount('wdr_1'))], [[600_000n, 0n, 400_000n], 0n]);
  assert.equal(b.on(chainAccount(RAIL, 'treasury')), -600_000n);
  assert.equal(b.conclude(true).rejection, 'NOTHING_TO_CHANGE');
});

test('[I-43] what the chain undoes comes back once, and with it the cap of the month in which it was asked for', () => {
  const b = newPayoutBench();
  b.deposit('1000000');
  b.withdraw('400000');
  assert.deepEqual(monthIn(b), [999_600_000n, 400_000n]);
  b.sign('0');
  b.nowUs += 40n * DAY_US;
  assert.equal(b.conclude(false).rejection, undefined);
  assert.equal(b.withdrawal().status, 'returned');
  assert.deepEqual(
    [moneyOf(b), monthIn(b)],
    [
      [1_000_000n, 0n, 0n],
      [1_000_000_000n, 0n],
    ],
  );
  assert.equal(b.conclude(false).rejection, 'NOTHING_TO_CHANGE');
});

test('a month later the cap is whole again; a smaller tier counts at once', () => {
  const b = newPayoutBench();
  b.deposit(PLENTY);
  assert.equal(b.withdraw('1000000000').rejection, undefined);
  assert.equal(b.withdraw('10000', {}, 'wdr_2').rejection, 'WITHDRAWAL_CAP_EXCEEDED');
  b.nowUs += 31n * DAY_US;
  assert.equal(b.withdraw('10000', {}, 'wdr_3').rejection, undefined);
  standingOf(b, 'SetTier', { tier: 'new' });
  assert.equal(b.withdraw('4990001', {}, 'wdr_4').rejection, 'WITHDRAWAL_CAP_EXCEEDED');
  assert.equal(b.withdraw('4990000', {}, 'wdr_5').rejection, undefined);
});

test('a request made just before the turn of the month counts to the new one', () => {
  const b = newPayoutBench();
  b.deposit(PLENTY);
  b.nowUs += 31n * DAY_US;
  assert.equal(b.withdraw('10000', { month: MONTH }).rejection, undefined);
  assert.equal(b.withdrawal().month, '2026-02');
});

const IDS = ['wdr_1', 'wdr_2', 'wdr_3'] as const;
const ids = fc.constantFrom(...IDS);
const platform = (stream: string, type: string, body: JsonObject): LawCommand => ({
  ...{ principal: 'platform', stream, type, body },
});
const withdrawing = fc
  .record({ id: ids, amount: fc.constantFrom('10000', '400000000', '700000000'), who: fc.constantFrom(ANN, BOB) })
  .map(({ id, amount, who }) => ({
    ...{ principal: who, stream: withdrawalStream(id), type: 'RequestWithdrawal' },
    body: { rail: RAIL, to: ANN_ADDRESS, amount_micros: amount, month: MONTH, day: `${MONTH}-01` },
  }));
const signing = fc.record({ id: ids, nonce: fc.constantFrom('0', '1', '2') }).map(({ id, nonce }) =>
  platform(withdrawalStream(id), 'SignTransaction', {
    ...{ rail: RAIL, signer: TREASURY, principal: ANN, nonce, hash: `0x${id}`, raw: '0x', max_fee_wei: '1' },
  }),
);
const concluding = fc.record({ id: ids, succeeded: fc.boolean() }).map(({ id, succeeded }) =>
  platform(withdrawalStream(id), 'ConcludeTransaction', {
    ...{ succeeded, hash: `0x${id}`, block: '9', block_hash: '0xb9' },
  }),
);
const cancelling = fc
  .record({ id: ids, who: fc.constantFrom(ANN, BOB) })
  .map(({ id, who }) => ({ principal: who, stream: withdrawalStream(id), type: 'CancelWithdrawal', body: {} }));
const looking = fc.constantFrom('900000000', '1').map((chain_micros) =>
  platform(railStream(RAIL), 'RecordReserves', {
    ...{ block: '9', block_hash: '0xb9' },
    parts: [
      { part: 'treasury', ledger_micros: '900000000', pending_micros: '0', leaving_micros: '0', chain_micros },
      { part: 'forwarders', ledger_micros: '0', pending_micros: '0', leaving_micros: '0', chain_micros: '0' },
    ],
  }),
);

test('[I-09] [I-12] [I-43] the laws hold for withdrawals: deposited is what is there, on its way or gone, and no cap is exceeded', () => {
  const b = newPayoutBench();
  b.deposit('900000000');
  const asked = b.world.receipts.filter(({ command }) => command.actor !== 'reaction');
  const setup = asked.map(({ command, stream }) => ({
    ...{ principal: command.actor, stream, type: command.type, body: command.body as JsonObject },
  }));
  const amountOf = (world: World, name: string): bigint => world.availableMicros(name) ?? 0n;
  const invariant = (world: World): void => {
    const there = amountOf(world, `user:${ANN}`);
    const held = IDS.map((id) => amountOf(world, withdrawalAccount(id))).reduce((sum, one) => sum + one, 0n);
    const gone = amountOf(world, withdrawnAccount(ANN));
    assert.equal(there + held + gone, 900_000_000n);
    assert.equal(held, amountOf(world, withdrawingAccount(ANN)), 'each held amount is on its way');
    assert.equal(
      amountOf(world, monthOutAccount(ANN, MONTH)),
      held + gone,
      'the month counts what left and will leave',
    );
    assert.ok(held + gone <= BigInt(standard.withdraw_micros_per_month_max), 'the cap of the month holds');
    assert.equal(amountOf(world, chainAccount(RAIL, 'treasury')), gone - 900_000_000n);
    const { withdrawals_stopped, reserves } = world.state(railStream(RAIL)) as RailState;
    assert.equal(withdrawals_stopped ?? false, (reserves?.looks_short ?? 0) >= 2);
  };
  const commands = fc.oneof(withdrawing, signing, concluding, cancelling, looking);
  deciderLaws({ rules: RULES, commands, setup, invariant, stepUsMax: 0n, runs: 100 });
});
