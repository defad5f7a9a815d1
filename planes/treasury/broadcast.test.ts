// Transactions of ours: one row per rule and refusal, and the law that a nonce is used once and none is left out.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Decider, type JsonObject, memoryWorld, nonceAccount, type Rules, type World } from '@tallystick/kernel';
import { deciderLaws, type LawCommand } from '@tallystick/kernel/laws';
import fc from 'fast-check';
import {
  ATTEMPTS_MAX,
  BROADCAST_TOPIC,
  rail,
  railStream,
  type SignerState,
  type SweepState,
  signer,
  signerStream,
  sweep,
  sweepStream,
} from './index.ts';

const RAIL = 'eip155:31337/00ff00ff00ff00ff';
const KEY = '0x00000000000000000000000000000000000000aa';
const RULES: Rules = {
  deciders: new Map([rail, signer, sweep].map((one) => [one.kind, one as unknown as Decider])),
  reactions: [],
  policy: { version: '1', hash: '00'.repeat(32) },
};

const command = (stream: string, type: string, body: JsonObject, principal = 'platform'): LawCommand => ({
  principal,
  stream,
  type,
  body,
});
const openSigner = (from_nonce = '5', by = 'platform') =>
  command(signerStream(RAIL, KEY), 'OpenSigner', { rail: RAIL, address: KEY, from_nonce, block: '7' }, by);
const moveSigner = (from_nonce: string, by = 'platform') =>
  command(signerStream(RAIL, KEY), 'MoveSigner', { rail: RAIL, from_nonce, block: '7' }, by);
const treasuryOf = (treasury: string) =>
  command(railStream(RAIL), 'OpenRail', { token: '0x01', treasury, factory: '0x02' });
const reserves = (block: string, chain_micros = '0') => {
  const none = { ledger_micros: '0', pending_micros: '0', leaving_micros: '0' };
  const parts = [
    { part: 'treasury', ...none, chain_micros },
    { part: 'forwarders', ...none, chain_micros: '0' },
  ];
  return command(railStream(RAIL), 'RecordReserves', { block, block_hash: '0xb7', parts });
};
const plan = (number: string, change: JsonObject = {}, by = 'platform') => {
  const body = { rail: RAIL, number, addresses: ['0x01'], salts: ['0x02'], micros: '7', ...change };
  return command(sweepStream(RAIL, number), 'PlanSweep', body, by);
};
const sign = (number: string, nonce: string, by = 'platform') => {
  const body = { rail: RAIL, signer: KEY, nonce, hash: `0x${number}a`, raw: '0x02', max_fee_wei: '100' };
  return command(sweepStream(RAIL, number), 'SignTransaction', body, by);
};
const replace = (number: string, fee: string, by = 'platform') =>
  command(
    sweepStream(RAIL, number),
    'ReplaceTransaction',
    { hash: `0x${number}${fee}`, raw: '0x03', max_fee_wei: fee },
    by,
  );
const conclude = (number: string, hash = `0x${number}a`, succeeded = true, by = 'platform') =>
  command(sweepStream(RAIL, number), 'ConcludeTransaction', { hash, succeeded, block: '9', block_hash: '0xb9' }, by);
/** Something else took its nonce, as somebody says who knew so many attempts. */
const displace = (number: string, change: JsonObject = {}) => {
  const body = { hash: '', succeeded: false, block: '', block_hash: '', by: '0xff', attempts: 1, ...change };
  return command(sweepStream(RAIL, number), 'ConcludeTransaction', body);
};

const drop = (number: string, by = 'platform') =>
  command(sweepStream(RAIL, number), 'DropSweep', { cause: 'blocked' }, by);

const PLANNED = [openSigner(), plan('1')];
const SIGNED = [...PLANNED, sign('1', '5')];
const replaced = (times: number) => Array.from({ length: times }, (_, i) => replace('1', String(101 + i)));

function run(...commands: LawCommand[]) {
  const world = memoryWorld(RULES);
  const outcomes = commands.map((one, i) =>
    world.execute({ principal: 'platform', key: `k${i}`, ...one }, BigInt(i + 1)),
  );
  return { world, last: outcomes.at(-1)! };
}

const REFUSALS: [string, LawCommand[], string][] = [
  ['a stranger opens a signer', [openSigner('5', 'eip155:1:0xaa')], 'NOT_FOUND'],
  ['a signer is opened again', [openSigner(), openSigner('9')], 'NOTHING_TO_CHANGE'],
  ['a signer that is not open is moved', [moveSigner('9')], 'NOT_FOUND'],
  ['a stranger moves a signer', [openSigner(), moveSigner('9', 'eip155:1:0xaa')], 'NOT_FOUND'],
  ['a signer is moved to where it stands', [openSigner(), moveSigner('5')], 'NOTHING_TO_CHANGE'],
  ['a signer is moved back', [openSigner(), moveSigner('4')], 'NOTHING_TO_CHANGE'],
  [
    'the treasury’s key begins behind what it did before, unproven',
    [treasuryOf(KEY), reserves('6'), openSigner()],
    'NONCE_TAKEN',
  ],
  [
    'the treasury’s key moves on unproven',
    [treasuryOf(KEY), openSigner('0'), reserves('6'), moveSigner('9')],
    'NONCE_TAKEN',
  ],
  [
    'the treasury’s key moves on while the chain holds something else',
    [treasuryOf(KEY), openSigner('0'), reserves('7', '1'), moveSigner('9')],
    'NONCE_TAKEN',
  ],
  [
    'a signer of another chain is moved',
    [openSigner(), { ...moveSigner('9'), body: { rail: 'x', from_nonce: '9', block: '7' } }],
    'NOT_FOUND',
  ],
  ['a stranger plans a sweep', [plan('1', {}, 'eip155:1:0xaa')], 'NOT_FOUND'],
  ['a sweep of nothing', [plan('1', { micros: '0' })], 'AMOUNT_NOT_POSITIVE'],
  ['a sweep is planned again', [plan('1'), plan('1')], 'ALREADY_EXISTS'],
  ['a sweep is left out', [plan('2')], 'SWEEP_UNDER_WAY'],
  ['the sweep before waits to be signed', [plan('1'), plan('2')], 'SWEEP_UNDER_WAY'],
  ['the sweep before is under way', [...SIGNED, plan('2')], 'SWEEP_UNDER_WAY'],
  ['what was not planned is dropped', [drop('1')], 'NOT_FOUND'],
  ['a stranger drops a sweep', [plan('1'), drop('1', 'eip155:1:0xaa')], 'NOT_FOUND'],
  ['what is signed is dropped', [...SIGNED, drop('1')], 'NOTHING_TO_CHANGE'],
  ['it is dropped twice', [plan('1'), drop('1'), drop('1')], 'NOTHING_TO_CHANGE'],
  ['what was dropped is signed', [...PLANNED, drop('1'), sign('1', '5')], 'NOTHING_TO_CHANGE'],
  ['what was not planned is signed', [openSigner(), sign('1', '5')], 'NOT_FOUND'],
  ['a stranger signs', [...PLANNED, sign('1', '5', 'eip155:1:0xaa')], 'NOT_FOUND'],
  ['a key that is not open signs', [plan('1'), sign('1', '5')], 'NOT_FOUND'],
  ['a nonce is left out', [...PLANNED, sign('1', '6')], 'NONCE_TAKEN'],
  ['a nonce of before our time', [...PLANNED, sign('1', '4')], 'NONCE_TAKEN'],
  ['[I-38] a nonce is used again', [...SIGNED, conclude('1'), plan('2'), sign('2', '5')], 'NONCE_TAKEN'],
  ['what is signed is signed again', [...SIGNED, sign('1', '6')], 'NOTHING_TO_CHANGE'],
  ['what is not signed is replaced', [...PLANNED, replace('1', '200')], 'NOTHING_TO_CHANGE'],
  ['a stranger replaces', [...SIGNED, replace('1', '200', 'eip155:1:0xaa')], 'NOT_FOUND'],
  ['a replacement offers no more', [...SIGNED, replace('1', '100')], 'NOTHING_TO_CHANGE'],
  ['too many replacements', [...SIGNED, ...replaced(ATTEMPTS_MAX)], 'NOTHING_TO_CHANGE'],
  ['what is not signed is concluded', [...PLANNED, conclude('1')], 'NOTHING_TO_CHANGE'],
  ['a stranger concludes', [...SIGNED, conclude('1', '0x1a', true, 'eip155:1:0xaa')], 'NOT_FOUND'],
  ['a transaction of others concludes it', [...SIGNED, conclude('1', '0xff')], 'NOT_FOUND'],
  ['nothing at all succeeded', [...SIGNED, displace('1', { succeeded: true })], 'NOT_FOUND'],
  ['it is displaced by nothing', [...SIGNED, displace('1', { by: '' })], 'NOT_FOUND'],
  ['nobody says what displaced it', [...SIGNED, conclude('1', '', false)], 'NOT_FOUND'],
  ['it is displaced by itself', [...SIGNED, displace('1', { by: '0x1a' })], 'NONCE_TAKEN'],
  [
    '[I-38] it is displaced by what replaced it',
    [...SIGNED, replace('1', '125'), displace('1', { by: '0x1125', attempts: 2 })],
    'NONCE_TAKEN',
  ],
  [
    '[I-38] it was replaced after whoever says that it is displaced had looked',
    [...SIGNED, replace('1', '125'), displace('1')],
    'NONCE_TAKEN',
  ],
  [
    'it is displaced, and nobody says how many attempts were known',
    [...SIGNED, displace('1', { attempts: null })],
    'NONCE_TAKEN',
  ],
  ['a stranger says that it is displaced', [...SIGNED, { ...displace('1'), principal: 'eip155:1:0xaa' }], 'NOT_FOUND'],
  ['what is over is displaced', [...SIGNED, conclude('1'), displace('1')], 'NOTHING_TO_CHANGE'],
  ['it is concluded twice', [...SIGNED, conclude('1'), conclude('1')], 'NOTHING_TO_CHANGE'],
  ['what is over is replaced', [...SIGNED, conclude('1'), replace('1', '200')], 'NOTHING_TO_CHANGE'],
];

for (const [what, commands, rejection] of REFUSALS)
  test(`refused: ${what}`, () => {
    assert.equal(run(...commands).last.rejection, rejection);
  });

const MISTAKES: [string, LawCommand, RegExp][] = [
  ['a batch of nothing', plan('1', { addresses: [], salts: [] }), /make no batch/],
  ['too large a batch', plan('1', { addresses: Array(51).fill('0x01'), salts: Array(51).fill('0x02') }), /no batch/],
  ['an address without a salt', plan('1', { salts: [] }), /make no batch/],
  ['another number than the stream’s', { ...plan('2'), stream: sweepStream(RAIL, '1') }, /is not/],
  ['another address than the stream’s', { ...openSigner(), stream: signerStream(RAIL, '0xbb') }, /is not what/],
];

for (const [what, mistaken, words] of MISTAKES)
  test(`a mistake of ours stops the command: ${what}`, () => {
    assert.throws(() => run(mistaken), words);
  });

const stateOf = (world: World, number = '1') => world.state(sweepStream(RAIL, number)) as SweepState;

test('what is planned asks to be signed, and keeps what was signed, replaced and mined', () => {
  const { world } = run(...SIGNED, replace('1', '125'), conclude('1', '0x1125'));
  const { status, broadcast } = stateOf(world);
  assert.deepEqual([status, broadcast.phase, broadcast.nonce, broadcast.hash], ['final', 'final', '5', '0x1125']);
  assert.deepEqual(
    broadcast.attempts.map(({ hash, max_fee_wei }) => [hash, max_fee_wei]),
    [
      ['0x1a', '100'],
      ['0x1125', '125'],
    ],
  );
  assert.equal(world.availableMicros(nonceAccount(RAIL, KEY, '5')), 0n);
  const planned = world.execute({ principal: 'platform', key: 'next', ...plan('2') }, 99n);
  assert.equal(planned.rejection, undefined);
  assert.equal(BROADCAST_TOPIC, 'broadcast');
});

test('the first attempt may be the one that the chain took', () => {
  const { world } = run(...SIGNED, replace('1', '125'), conclude('1'));
  assert.deepEqual([stateOf(world).status, stateOf(world).broadcast.hash], ['final', '0x1a']);
});

test('undone by the contract, or displaced by another transaction: it failed, and the next batch may come', () => {
  for (const over of [conclude('1', '0x1a', false), displace('1')]) {
    const { world, last } = run(...SIGNED, over, plan('2'), sign('2', '6'));
    assert.equal(last.rejection, undefined);
    assert.deepEqual([stateOf(world).status, stateOf(world, '2').broadcast.nonce], ['failed', '6']);
  }
});

test('what is dropped before it is signed makes room for the next batch and uses no nonce', () => {
  const { world, last } = run(...PLANNED, drop('1'), plan('2'), sign('2', '5'));
  assert.equal(last.rejection, undefined);
  assert.deepEqual([stateOf(world).status, stateOf(world, '2').status], ['failed', 'signed']);
});

test('a key that was used elsewhere goes on after what the chain has taken', () => {
  const { world, last } = run(...PLANNED, moveSigner('9'), sign('1', '9'));
  assert.equal(last.rejection, undefined);
  assert.equal((world.state(signerStream(RAIL, KEY)) as SignerState).from_nonce, '9');
});

test('the treasury’s key goes on once the chain was held against the ledger at that block or later, and nothing was missing', () => {
  const { world, last } = run(treasuryOf(KEY), reserves('7'), openSigner(), moveSigner('9'));
  assert.equal(last.rejection, undefined);
  assert.equal((world.state(signerStream(RAIL, KEY)) as SignerState).from_nonce, '9');
});

const numbers = fc.constantFrom('1', '2', '3', '4');
const fees = fc.integer({ min: 99, max: 108 }).map(String);
const nonces = fc.integer({ min: 4, max: 9 }).map(String);
const commands: fc.Arbitrary<LawCommand> = fc.oneof(
  numbers.map((number) => plan(number)),
  numbers.map((number) => drop(number)),
  fc.record({ number: numbers, nonce: nonces }).map(({ number, nonce }) => sign(number, nonce)),
  fc.record({ number: numbers, fee: fees }).map(({ number, fee }) => replace(number, fee)),
  fc
    .record({ number: numbers, taken: fc.constantFrom('a', '101', 'none'), succeeded: fc.boolean() })
    .map(({ number, taken, succeeded }) => conclude(number, taken === 'none' ? '' : `0x${number}${taken}`, succeeded)),
  fc
    .record({ number: numbers, by: fc.constantFrom('', 'a', '101', 'else'), attempts: fc.integer({ min: 0, max: 3 }) })
    .map(({ number, by, attempts }) => displace(number, { by: by === '' ? '' : `0x${number}${by}`, attempts })),
);

test('[I-22] [I-38] the laws hold: each nonce is used once, and the used ones are without a gap', () => {
  const invariant = (world: World): void => {
    const used = ['1', '2', '3', '4'].map((number) => stateOf(world, number).broadcast.nonce).filter((n) => n !== '');
    const sorted = used.map(Number).sort((a, b) => a - b);
    assert.deepEqual(
      sorted,
      sorted.map((_, i) => 5 + i),
      'nonces are used once each, from the first on',
    );
    for (const nonce of used) assert.equal(world.availableMicros(nonceAccount(RAIL, KEY, nonce)), 0n);
  };
  deciderLaws({ rules: RULES, commands, setup: PLANNED, invariant, runs: 150 });
});
