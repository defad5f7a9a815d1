// Deposits of a chain: one row per command and refusal, and the laws over random sights, losses and claims.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  chainAccount,
  type Decider,
  type JsonObject,
  memoryWorld,
  type Rules,
  reorgLossAccount,
  SAFE_MICROS_MAX,
  SUSPENSE,
  userAccount,
  type World,
} from '@tallystick/kernel';
import { deciderLaws, type LawCommand } from '@tallystick/kernel/laws';
import fc from 'fast-check';
import { claimRefusal } from './claim.ts';
import {
  type AccountState,
  account,
  address,
  addressStream,
  type DepositState,
  deposit,
  depositStream,
  ledger,
  type RailState,
  rail,
  railStream,
  TREASURY_REACTIONS,
} from './index.ts';

const RAIL = 'eip155:31337/00ff00ff00ff00ff';
const ANN_ADDRESS = '0x00000000000000000000000000000000000000aa';
const BOB_ADDRESS = '0x00000000000000000000000000000000000000bb';
const ANN = `eip155:1:${ANN_ADDRESS}`;
const BOB = `eip155:1:${BOB_ADDRESS}`;
const TREASURY = '0x00000000000000000000000000000000000000ee';
const MINE = '0x0000000000000000000000000000000000000011';
const RULES: Rules = {
  deciders: new Map([ledger, account, rail, address, deposit].map((one) => [one.kind, one as unknown as Decider])),
  reactions: TREASURY_REACTIONS,
  policy: { version: '1', hash: '00'.repeat(32) },
};

const command = (stream: string, type: string, body: JsonObject, principal = 'platform'): LawCommand => ({
  principal,
  stream,
  type,
  body,
});
const openRail = (treasury = TREASURY, principal = 'platform') =>
  command(railStream(RAIL), 'OpenRail', { token: '0x01', treasury, factory: '0x02' }, principal);
const scan = (number: string, change: JsonObject = {}) =>
  command(railStream(RAIL), 'RecordScan', {
    scanned: { number, hash: `0x${number}` },
    anchor: { number: '0', hash: '0x' },
    ...change,
  });
const rewind = (number: string, by = 'platform') =>
  command(
    railStream(RAIL),
    'RewindScan',
    { scanned: { number, hash: `0x${number}` }, by: ANN, reason: 'the chain was rewritten' },
    by,
  );
const sweep = (amount: string, id = 'dep_s') =>
  command(railStream(RAIL), 'RecordSweep', { deposit_id: id, amount_micros: amount, tx: '0x5' });
const openAccount = (who: string) => command(`account:${who}`, 'OpenAccount', {});
const assign = (principal = ANN, by = 'platform', where = MINE) =>
  command(addressStream(RAIL, where), 'AssignAddress', { rail: RAIL, address: where, principal }, by);
const see = (change: JsonObject = {}, id = 'dep_1', by = 'platform') =>
  command(
    depositStream(id),
    'SeeDeposit',
    {
      rail: RAIL,
      tx: '0x7',
      ordinal: '0',
      block: '5',
      block_hash: '0xb5',
      payer: ANN_ADDRESS,
      payee: TREASURY,
      amount_micros: '700',
      principal: ANN,
      ...change,
    },
    by,
  );
const credit = (who = ANN, amount = '700', id = 'dep_1') =>
  command(`account:${who}`, 'CreditDeposit', {
    deposit_id: id,
    amount_micros: amount,
    source: RAIL,
    reference: '0x7#0',
  });
const gift = (amount: string, by = 'platform') =>
  command(`account:${ANN}`, 'RequestGift', { amount_micros: amount, reference: 'r' }, by);
const lose = (hash = '0xb5', id = 'dep_1') => command(depositStream(id), 'LoseDeposit', { block_hash: hash });
const move = (block_hash = '0xb6', id = 'dep_1') =>
  command(depositStream(id), 'MoveDeposit', { block: '6', block_hash });
const restore = (id = 'dep_1') => command(depositStream(id), 'RestoreDeposit', {});
const claim = (by = ANN, who = by, id = 'dep_1') => command(`account:${who}`, 'ClaimDeposit', { deposit_id: id }, by);

const SETUP = [openRail(), openAccount(ANN), openAccount(BOB), openAccount(SUSPENSE)];
const parked = [...SETUP, see({ principal: SUSPENSE }), credit(SUSPENSE)];
/** By Ann, to an address of Bob's. */
const given = see({ payee: MINE, principal: BOB });

function run(...commands: LawCommand[]) {
  const world = memoryWorld(RULES);
  const outcomes = commands.map((one, i) =>
    world.execute({ principal: 'platform', key: `k${i}`, ...one }, BigInt(i + 1)),
  );
  return { world, last: outcomes.at(-1)! };
}

const REFUSALS: [string, LawCommand[], string][] = [
  ['a stranger opens a rail', [openRail(TREASURY, ANN)], 'NOT_FOUND'],
  ['a rail is opened again', [openRail(), openRail()], 'NOTHING_TO_CHANGE'],
  ['a rail is opened for another treasury', [openRail(), openRail(MINE)], 'ALREADY_EXISTS'],
  ['blocks of no rail are scanned', [scan('1')], 'NOT_FOUND'],
  ['a stranger sends watchers back', [openRail(), scan('9'), rewind('4', ANN)], 'NOT_FOUND'],
  ['watchers are sent back to where they are', [openRail(), scan('9'), rewind('9')], 'NOTHING_TO_CHANGE'],
  ['watchers are sent forward', [openRail(), scan('9'), rewind('10')], 'NOTHING_TO_CHANGE'],
  ['one who was sent back records as if not', [openRail(), scan('9'), rewind('4'), scan('10')], 'NOTHING_TO_CHANGE'],
  ['a pending deposit is moved', [...SETUP, see(), move()], 'NOTHING_TO_CHANGE'],
  ['a deposit is moved to where it is', [...SETUP, see(), credit(), move('0xb5')], 'NOTHING_TO_CHANGE'],
  ['an unseen deposit is moved', [...SETUP, move()], 'NOT_FOUND'],
  ['nothing is swept', [openRail(), sweep('0')], 'AMOUNT_NOT_POSITIVE'],
  ['a sweep is recorded again', [openRail(), sweep('1'), sweep('1')], 'ALREADY_EXISTS'],
  ['a stranger assigns an address', [assign(ANN, ANN)], 'NOT_FOUND'],
  ['an address is assigned again', [assign(), assign()], 'NOTHING_TO_CHANGE'],
  ['an address is somebody else’s', [assign(), assign(BOB)], 'ALREADY_EXISTS'],
  ['a stranger sees a deposit', [...SETUP, see({}, 'dep_1', ANN)], 'NOT_FOUND'],
  ['nothing arrived', [...SETUP, see({ amount_micros: '0' })], 'AMOUNT_NOT_POSITIVE'],
  ['a deposit is seen again in its block', [...SETUP, see(), see()], 'NOTHING_TO_CHANGE'],
  ['a credited deposit is seen again', [...SETUP, see(), credit(), see({ block_hash: '0xb6' })], 'NOTHING_TO_CHANGE'],
  ['it is seen for another than its payer', [...SETUP, see({ principal: BOB })], 'NOT_FOUND'],
  [
    'it is seen for another than the address is of',
    [...SETUP, assign(), see({ payee: MINE, payer: BOB_ADDRESS, principal: BOB })],
    'NOT_FOUND',
  ],
  ['a stranger asks for a gift', [...SETUP, gift('5', ANN)], 'NOT_FOUND'],
  ['a gift of nothing', [...SETUP, gift('0')], 'AMOUNT_NOT_POSITIVE'],
  ['a gift beyond every amount', [...SETUP, see(), credit(), gift(String(SAFE_MICROS_MAX))], 'AMOUNT_TOO_LARGE'],
  ['an unseen deposit is credited', [...SETUP, credit()], 'NOT_FOUND'],
  ['[I-14] a deposit is credited again', [...SETUP, see(), credit(), credit()], 'ALREADY_EXISTS'],
  ['it is credited with another amount', [...SETUP, see(), credit(ANN, '701')], 'NOT_FOUND'],
  ['it is credited to another', [...SETUP, see(), credit(BOB)], 'NOT_FOUND'],
  ['a deposit that is gone is credited', [...SETUP, see(), lose(), credit()], 'NOT_FOUND'],
  ['another block than its own is lost', [...SETUP, see(), lose('0xb4')], 'NOTHING_TO_CHANGE'],
  ['it is lost twice', [...SETUP, see(), credit(), lose(), lose()], 'NOTHING_TO_CHANGE'],
  ['what was never taken back is restored', [...SETUP, see(), restore()], 'NOTHING_TO_CHANGE'],
  ['an unseen deposit is lost', [...SETUP, lose()], 'NOT_FOUND'],
  ['somebody else claims', [...parked, claim(BOB)], 'NOT_FOUND'],
  ['somebody claims into another account', [...parked, claim(ANN, BOB)], 'NOT_FOUND'],
  ['nothing that is known is claimed', [...SETUP, claim()], 'NOT_FOUND'],
  [
    'what its payer gave to somebody else is claimed',
    [...SETUP, assign(BOB), given, credit(BOB), claim()],
    'NOT_FOUND',
  ],
  ['what they have already is claimed', [...SETUP, see(), credit(), claim()], 'DEPOSIT_NOT_PARKED'],
  ['what waits for blocks is claimed', [...SETUP, see({ principal: SUSPENSE }), claim()], 'DEPOSIT_NOT_PARKED'],
  ['it is claimed twice', [...parked, claim(), claim()], 'DEPOSIT_NOT_PARKED'],
];

for (const [what, commands, rejection] of REFUSALS)
  test(`refused: ${what}`, () => {
    assert.equal(run(...commands).last.rejection, rejection);
  });

const stateOf = (world: World, id = 'dep_1') => world.state(depositStream(id)) as DepositState;
const micros = (world: World, name: string) => world.availableMicros(name);

test('[I-14] a deposit from a known payer is credited, and the asset account shows what the chain holds', () => {
  const { world } = run(...SETUP, see(), credit());
  assert.deepEqual([stateOf(world).status, stateOf(world).door], ['credited', 'treasury']);
  assert.deepEqual([micros(world, userAccount(ANN)), micros(world, chainAccount(RAIL, 'treasury'))], [700n, -700n]);
});

test('an address says whose deposit it is, whoever paid; a sweep moves it between our own accounts', () => {
  const { world } = run(...SETUP, assign(), see({ payee: MINE, payer: BOB_ADDRESS }), credit(), sweep('700'));
  assert.equal(stateOf(world).principal, ANN);
  assert.equal(micros(world, userAccount(ANN)), 700n);
  assert.deepEqual(
    [micros(world, chainAccount(RAIL, 'treasury')), micros(world, chainAccount(RAIL, 'forwarders'))],
    [-700n, 0n],
  );
});

test('a deposit of nobody known is parked, and goes to whoever proves to be its payer', () => {
  const { world, last } = run(...parked, claim());
  assert.equal(last.rejection, undefined);
  assert.deepEqual([stateOf(world).status, stateOf(world).principal], ['credited', ANN]);
  assert.deepEqual([micros(world, userAccount(ANN)), micros(world, userAccount(SUSPENSE))], [700n, 0n]);
  assert.equal((world.state(`account:${ANN}`) as AccountState).deposited_micros, '700');
});

test('a claim that comes too early, again or too late is told how far the deposit has come', () => {
  const waiting = see({ principal: SUSPENSE });
  const told = (...commands: LawCommand[]) => run(...SETUP, ...commands, claim()).last.facts;
  assert.deepEqual(
    [told(waiting), told(waiting, credit(SUSPENSE), claim()), told(waiting, lose())].map((facts) => facts?.['status']),
    ['seen', 'credited', 'gone'],
  );
  const claimed = claimRefusal({ ...deposit.initial, id: 'dep_1', status: 'parked' }, true);
  assert.deepEqual(
    claimed?.facts,
    { id: 'dep_1', status: 'credited' },
    'a claim that the deposit has not heard of yet',
  );
});

test('the chain takes a credited deposit back: the platform bears it, and has it back when it is mined again', () => {
  const { world } = run(...SETUP, see(), credit(), lose());
  assert.equal(stateOf(world).status, 'reversed');
  const moved = () =>
    [userAccount(ANN), reorgLossAccount(RAIL), chainAccount(RAIL, 'treasury')].map((one) => micros(world, one));
  assert.deepEqual(moved(), [700n, -700n, 0n]);
  const ask = (one: LawCommand, key: string) => world.execute({ principal: 'platform', key, ...one }, 50n);
  ask(see({ block: '6', block_hash: '0xb6' }), 'again');
  assert.equal(ask(credit(), 'credit again').rejection, 'ALREADY_EXISTS');
  ask(restore(), 'restore');
  assert.equal(stateOf(world).status, 'credited');
  assert.deepEqual(moved(), [700n, 0n, -700n]);
});

test('a rail remembers how far it was looked through', () => {
  const { world } = run(openRail(), scan('9'));
  assert.deepEqual((world.state(railStream(RAIL)) as RailState).scanned, { number: '9', hash: '0x9' });
});

test('an administrator sends those back who look, and they record anew from there', () => {
  const { world, last } = run(openRail(), scan('9'), rewind('4'), scan('6', { rewinds: 1 }));
  assert.equal(last.rejection, undefined);
  const { scanned, rewinds } = world.state(railStream(RAIL)) as RailState;
  assert.deepEqual([scanned.number, rewinds], ['6', 1]);
});

test('a credited deposit that stands in another block is moved there, and then lost only with that block', () => {
  const { world } = run(...SETUP, see(), credit(), move('0xb6'), lose('0xb5'));
  const { status, block, block_hash } = world.state(depositStream('dep_1')) as DepositState;
  assert.deepEqual([status, block, block_hash], ['credited', '6', '0xb6']);
  assert.equal(micros(world, reorgLossAccount(RAIL)), 0n);
});

const ids = fc.constantFrom('dep_1', 'dep_2');
const amounts = fc.constantFrom('700', '5', '0');
const people = fc.constantFrom(ANN, BOB, SUSPENSE);
const hashes = fc.constantFrom('0xb5', '0xb6');
const commands: fc.Arbitrary<LawCommand> = fc.oneof(
  fc.constantFrom(assign(), assign(BOB), openRail(), sweep('3')),
  fc
    .record({
      id: ids,
      amount_micros: amounts,
      principal: people,
      block_hash: hashes,
      payee: fc.constantFrom(TREASURY, MINE),
    })
    .map(({ id, ...change }) => see(change, id)),
  fc.record({ who: people, amount: amounts, id: ids }).map(({ who, amount, id }) => credit(who, amount, id)),
  fc.record({ hash: hashes, id: ids }).map(({ hash, id }) => lose(hash, id)),
  ids.map((id) => restore(id)),
  fc.record({ hash: hashes, id: ids }).map(({ hash, id }) => move(hash, id)),
  fc.record({ by: fc.constantFrom(ANN, BOB), id: ids }).map(({ by, id }) => claim(by, by, id)),
);

test('[I-09] [I-14] the laws hold: what users have is what the chain holds and what the chain took back', () => {
  const invariant = (world: World): void => {
    const users = [ANN, BOB, SUSPENSE].map((who) => micros(world, userAccount(who)) ?? 0n);
    const ours = [chainAccount(RAIL, 'treasury'), chainAccount(RAIL, 'forwarders'), reorgLossAccount(RAIL)];
    const sum = (amounts: bigint[]): bigint => amounts.reduce((total, one) => total + one, 0n);
    assert.equal(sum(users), -sum(ours.map((name) => micros(world, name) ?? 0n)));
    assert.ok((micros(world, reorgLossAccount(RAIL)) ?? 0n) <= 0n, 'more came back than was lost');
  };
  deciderLaws({ rules: RULES, commands, setup: SETUP, invariant, runs: 100 });
});
