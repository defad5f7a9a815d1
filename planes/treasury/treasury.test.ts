// The treasury's rules: one row per command and refusal, and the laws over random histories.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Decider,
  type JsonObject,
  memoryWorld,
  type Rules,
  SAFE_MICROS_MAX,
  userAccount,
  WORLD_DEPOSITS,
  type World,
} from '@tallystick/kernel';
import { deciderLaws, type LawCommand } from '@tallystick/kernel/laws';
import fc from 'fast-check';
import { type AccountState, account, ledger } from './index.ts';

const ANN = 'eip155:1:0x00000000000000000000000000000000000000aa';
const RULES: Rules = {
  deciders: new Map([ledger, account].map((one) => [one.kind, one as unknown as Decider])),
  reactions: [],
  policy: { version: '1', hash: '00'.repeat(32) },
};

const command = (stream: string, type: string, body: JsonObject, principal = 'platform'): LawCommand => ({
  principal,
  stream,
  type,
  body,
});
const openLedger = (...providers: string[]) => command('ledger:platform', 'OpenLedger', { providers });
const openAccount = (who = ANN) => command(`account:${who}`, 'OpenAccount', {});
const credit = (amount: string, id = 'dep_1', principal = 'platform') =>
  command(
    `account:${ANN}`,
    'CreditDeposit',
    { deposit_id: id, amount_micros: amount, source: 'development', reference: 'r' },
    principal,
  );

function run(...commands: LawCommand[]) {
  const world = memoryWorld(RULES);
  const outcomes = commands.map((one, i) =>
    world.execute({ principal: 'platform', key: `k${i}`, ...one }, BigInt(i + 1)),
  );
  return { world, last: outcomes.at(-1)! };
}

const REFUSALS: [string, LawCommand[], string, JsonObject | undefined][] = [
  ['a stranger opens the ledger', [{ ...openLedger('a'), principal: ANN }], 'NOT_FOUND', undefined],
  ['nothing is new in the ledger', [openLedger('a'), openLedger('a')], 'NOTHING_TO_CHANGE', undefined],
  ['a stranger opens an account', [{ ...openAccount(), principal: ANN }], 'NOT_FOUND', undefined],
  ['an account is open', [openAccount(), openAccount()], 'ALREADY_EXISTS', { id: ANN }],
  ['an account is not open', [openLedger(), credit('5')], 'NOT_FOUND', undefined],
  ['its owner credits a deposit', [openLedger(), openAccount(), credit('5', 'd', ANN)], 'NOT_FOUND', undefined],
  ['nothing is deposited', [openLedger(), openAccount(), credit('0')], 'AMOUNT_NOT_POSITIVE', { amount_micros: '0' }],
  ['less is deposited', [openLedger(), openAccount(), credit('-1')], 'AMOUNT_NOT_POSITIVE', { amount_micros: '-1' }],
  [
    'the sum of deposits grows beyond a JSON number',
    [openLedger(), openAccount(), credit('10'), credit(String(SAFE_MICROS_MAX), 'dep_2')],
    'AMOUNT_TOO_LARGE',
    { cap_micros: String(SAFE_MICROS_MAX - 10n), asked_micros: String(SAFE_MICROS_MAX) },
  ],
  [
    '[I-14] a deposit is credited already',
    [openLedger(), openAccount(), credit('10'), credit('10')],
    'ALREADY_EXISTS',
    { id: 'dep_1' },
  ],
];

for (const [what, commands, rejection, facts] of REFUSALS)
  test(`refused: ${what}`, () => {
    const { last } = run(...commands);
    assert.deepEqual([last.rejection, last.facts], [rejection, facts]);
  });

test('[I-14] a deposit is credited once and answered with the balance after it', () => {
  const { world, last } = run(openLedger('local'), openAccount(), credit('700'), credit('300', 'dep_2'));
  assert.deepEqual(last.answer, {
    deposit_id: 'dep_2',
    principal: ANN,
    amount_micros: '300',
    source: 'development',
    credited_at_us: '4',
    balance_micros: '1000',
  });
  const state = world.state(`account:${ANN}`) as AccountState;
  assert.deepEqual([state.deposited_micros, state.deposits], ['1000', 2]);
  assert.equal(world.availableMicros(WORLD_DEPOSITS), -1000n);
});

test('a later provider gets its account without opening the others again', () => {
  const { world, last } = run(openLedger('a'), openLedger('a', 'b', 'b'));
  assert.equal(last.rejection, undefined);
  assert.deepEqual(world.state('ledger:platform'), { is_open: true, providers: ['a', 'b'] });
  assert.equal(world.availableMicros('provider:b'), 0n);
});

const commands: fc.Arbitrary<LawCommand> = fc.oneof(
  fc.subarray(['a', 'b', 'c']).map((providers) => openLedger(...providers)),
  fc.constantFrom(ANN, 'eip155:1:0xcc').map(openAccount),
  fc
    .record({
      amount: fc.bigInt({ min: -2n, max: 50n }).map(String),
      id: fc.constantFrom('d1', 'd2', 'd3'),
      who: fc.constantFrom('platform', ANN),
    })
    .map(({ amount, id, who }) => credit(amount, id, who)),
);

test('[I-09] [I-14] the laws hold, and what an account counts is what the ledger holds', () => {
  const invariant = (world: World): void => {
    const state = world.state(`account:${ANN}`) as AccountState;
    assert.equal(world.availableMicros(userAccount(ANN)) ?? 0n, BigInt(state.deposited_micros));
  };
  deciderLaws({ rules: RULES, commands, setup: [openLedger()], invariant, runs: 60 });
});
