// Quotes and the authorizations that pay them: one row per command and refusal, and the laws over random histories.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  chainAccount,
  type Decider,
  type JsonObject,
  memoryWorld,
  type Rules,
  SUSPENSE,
  userAccount,
  type World,
} from '@tallystick/kernel';
import { deciderLaws, type LawCommand } from '@tallystick/kernel/laws';
import fc from 'fast-check';
import {
  account,
  address,
  authNonceOf,
  authorization,
  authorizationStream,
  type DepositState,
  deposit,
  depositStream,
  ledger,
  QUOTE_MS,
  type QuoteState,
  quote,
  quoteIdOf,
  quoteStream,
  rail,
  railStream,
  SETTLE_TRIES_MAX,
  signer,
  signerStream,
  TREASURY_REACTIONS,
} from './index.ts';

const RAIL = 'eip155:31337/00ff00ff00ff00ff';
const PAYER = '0x00000000000000000000000000000000000000cc';
const OTHER_PAYER = '0x00000000000000000000000000000000000000dd';
const ANN = 'eip155:1:0x00000000000000000000000000000000000000aa';
const BOB = 'eip155:1:0x00000000000000000000000000000000000000bb';
const TREASURY = '0x00000000000000000000000000000000000000ee';
const RELAYER = '0x0000000000000000000000000000000000000ee1';
const NONCE = `0x${'11'.repeat(32)}`;
const OTHER_NONCE = `0x${'22'.repeat(32)}`;
const FINGERPRINT = 'ab'.repeat(32);
const NOW_S = 1_000_000n;
const US_PER_S = 1_000_000n;
const ID = quoteIdOf(ANN, 'k');
const RULES: Rules = {
  deciders: new Map(
    [ledger, account, rail, address, deposit, signer, authorization, quote].map((one) => [
      one.kind,
      one as unknown as Decider,
    ]),
  ),
  reactions: TREASURY_REACTIONS,
  policy: { version: '1', hash: '00'.repeat(32) },
};

const command = (stream: string, type: string, body: JsonObject, principal = 'platform'): LawCommand => ({
  principal,
  stream,
  type,
  body,
});
const offer = (change: JsonObject = {}, by = ANN, id = ID) =>
  command(
    quoteStream(id),
    'OfferQuote',
    {
      key: 'k',
      fingerprint: FINGERPRINT,
      options: [
        { amount_micros: '700', label: 'shortfall' },
        { amount_micros: '900', label: 'runway_6h' },
      ],
      rail: RAIL,
      network: 'eip155:31337',
      token: '0x01',
      pay_to: TREASURY,
      ...change,
    },
    by,
  );
const assign = (nonce = NONCE, by = ANN, id = ID, payer = PAYER, where = RAIL) =>
  command(
    authorizationStream(where, payer, nonce),
    'AssignAuthorization',
    { rail: where, payer, nonce, quote: id },
    by,
  );
const bind = (change: JsonObject = {}, by = ANN, where = RAIL) =>
  command(
    quoteStream(ID),
    'BindQuote',
    {
      rail: where,
      payment: {
        from: PAYER,
        to: TREASURY,
        value: '700',
        valid_after: '0',
        valid_before: String(NOW_S + 300n),
        nonce: NONCE,
        signature: '0x5165',
        ...change,
      },
    },
    by,
  );
const openSigner = command(signerStream(RAIL, RELAYER), 'OpenSigner', {
  rail: RAIL,
  address: RELAYER,
  from_nonce: '0',
});
const sign = (nonce = '0', by = 'platform') =>
  command(
    quoteStream(ID),
    'SignTransaction',
    { rail: RAIL, signer: RELAYER, nonce, hash: `0xa${nonce}`, raw: '0x02', max_fee_wei: '5' },
    by,
  );
const replace = command(quoteStream(ID), 'ReplaceTransaction', { hash: '0xb0', raw: '0x03', max_fee_wei: '9' });
const conclude = (succeeded: boolean, hash = '0xa0') =>
  command(quoteStream(ID), 'ConcludeTransaction', { succeeded, hash, block: '7', block_hash: '0xb7' });
const lapse = (block_time_s: bigint, by = 'platform') =>
  command(quoteStream(ID), 'LapseQuote', { block_time_s: String(block_time_s), block: '9', block_hash: '0xb9' }, by);
const see = (change: JsonObject = {}, id = 'dep_1') =>
  command(depositStream(id), 'SeeDeposit', {
    rail: RAIL,
    tx: '0x7',
    ordinal: '0',
    block: '5',
    block_hash: '0xb5',
    payer: PAYER,
    payee: TREASURY,
    amount_micros: '700',
    principal: ANN,
    authorization: NONCE,
    ...change,
  });
const credit = (change: JsonObject = {}, who = ANN, id = 'dep_1') =>
  command(`account:${who}`, 'CreditDeposit', {
    deposit_id: id,
    amount_micros: '700',
    source: RAIL,
    reference: '0x7#0',
    quote_id: ID,
    ...change,
  });
const topUp = (amount: string, by = ANN) => command(`account:${ANN}`, 'RequestTopUp', { amount_micros: amount }, by);
const settle = (by: string) =>
  command(quoteStream(ID), 'SettleQuote', { deposit_id: 'd', amount_micros: '1', payer: PAYER, nonce: NONCE }, by);

const SETUP = [
  command(railStream(RAIL), 'OpenRail', { token: '0x01', treasury: TREASURY, factory: '0x02' }),
  ...[ANN, BOB, SUSPENSE].map((who) => command(`account:${who}`, 'OpenAccount', {})),
  openSigner,
];
const BOUND = [...SETUP, offer(), assign(), bind()];
const PAID = [...BOUND, see(), credit()];

function run(...commands: LawCommand[]) {
  const world = memoryWorld(RULES);
  const outcomes = commands.map((one, i) =>
    world.execute({ principal: 'platform', key: `k${i}`, ...one }, NOW_S * US_PER_S + BigInt(i)),
  );
  return { world, last: outcomes.at(-1)! };
}
/** The same, with the last command so much later. */
function runLater(ms: number, ...commands: LawCommand[]) {
  const { world } = run(...commands.slice(0, -1));
  const last = { principal: 'platform', key: 'later', ...commands.at(-1)! };
  return { world, last: world.execute(last, NOW_S * US_PER_S + BigInt(ms) * 1_000n) };
}
const stateOf = (world: World) => world.state(quoteStream(ID)) as QuoteState;
const sent = (world: World): number => world.outbox.filter(({ topic }) => topic === 'broadcast').length;

const REFUSALS: [string, LawCommand[], string, string?][] = [
  ['somebody offers for another’s key', [...SETUP, offer({}, BOB)], 'NOT_FOUND'],
  ['nothing is asked for', [...SETUP, offer({ options: [{ amount_micros: '0', label: '' }] })], 'AMOUNT_NOT_POSITIVE'],
  ['another request has the key', [...SETUP, offer(), offer({ fingerprint: 'cd' })], 'ALREADY_EXISTS'],
  ['it is offered already', [...SETUP, offer(), offer()], 'NOTHING_TO_CHANGE'],
  ['[I-41] a payment is bound: no other offer', [...BOUND, offer()], 'NOTHING_TO_CHANGE'],
  ['[I-41] it is on its way: no other offer', [...BOUND, sign(), offer()], 'NOTHING_TO_CHANGE'],
  ['[I-41] paid, its own transaction is not over', [...BOUND, sign(), see(), credit(), offer()], 'NOTHING_TO_CHANGE'],
  ['an authorization for no quote', [...SETUP, assign()], 'NOT_FOUND'],
  ['an authorization for another’s quote', [...SETUP, offer(), assign(NONCE, BOB)], 'NOT_FOUND'],
  ['an authorization of another chain', [...SETUP, offer(), assign(NONCE, ANN, ID, PAYER, 'eip155:1/00')], 'NOT_FOUND'],
  ['it is assigned already', [...SETUP, offer(), assign(), assign()], 'NOTHING_TO_CHANGE'],
  ['a bound quote takes no further authorization', [...BOUND, assign(OTHER_NONCE)], 'NOTHING_TO_CHANGE'],
  [
    '[I-40] an authorization is for another quote already',
    [
      ...SETUP,
      offer(),
      assign(),
      offer({ key: 'l' }, BOB, quoteIdOf(BOB, 'l')),
      assign(NONCE, BOB, quoteIdOf(BOB, 'l')),
    ],
    'ALREADY_EXISTS',
  ],
  ['nothing was offered', [...SETUP, bind()], 'NOT_FOUND'],
  ['another binds', [...SETUP, offer(), assign(), bind({}, BOB)], 'NOT_FOUND'],
  ['it is bound already', [...BOUND, bind()], 'NOTHING_TO_CHANGE'],
  ['it pays somebody else', [...SETUP, offer(), assign(), bind({ to: RELAYER })], 'PAYMENT_INVALID', 'to'],
  ['we pay ourselves', [...SETUP, offer(), bind({ from: TREASURY })], 'PAYMENT_INVALID', 'from'],
  ['it pays another amount', [...SETUP, offer(), assign(), bind({ value: '701' })], 'PAYMENT_INVALID', 'value'],
  [
    'it cannot be used yet',
    [...SETUP, offer(), assign(), bind({ valid_after: String(NOW_S) })],
    'PAYMENT_INVALID',
    'validAfter',
  ],
  [
    'it is over soon',
    [...SETUP, offer(), assign(), bind({ valid_before: String(NOW_S + 9n) })],
    'PAYMENT_INVALID',
    'validBefore',
  ],
  [
    'it is never over',
    [...SETUP, offer(), assign(), bind({ valid_before: String(NOW_S + 3_601n) })],
    'PAYMENT_INVALID',
    'validBefore',
  ],
  ['its authorization is not assigned', [...SETUP, offer(), bind()], 'PAYMENT_INVALID', 'nonce'],
  ['it names another chain', [...SETUP, offer(), assign(), bind({}, ANN, 'eip155:1/00')], 'PAYMENT_INVALID', 'nonce'],
  ['what is not bound is signed', [...SETUP, offer(), sign()], 'NOTHING_TO_CHANGE'],
  ['its principal signs for us', [...BOUND, sign('0', ANN)], 'NOT_FOUND'],
  ['it is signed twice', [...BOUND, sign(), sign('1')], 'NOTHING_TO_CHANGE'],
  ['what is paid is signed', [...PAID, sign()], 'NOTHING_TO_CHANGE'],
  ['its principal says that it is over', [...BOUND, lapse(NOW_S + 300n, ANN)], 'NOT_FOUND'],
  ['its payment may still be used', [...BOUND, lapse(NOW_S + 299n)], 'NOTHING_TO_CHANGE'],
  ['its transaction may still be mined', [...BOUND, sign(), lapse(NOW_S + 300n)], 'NOTHING_TO_CHANGE'],
  ['what is open cannot lapse', [...SETUP, offer(), lapse(NOW_S + 300n)], 'NOTHING_TO_CHANGE'],
  ['its principal says that it is paid', [...BOUND, settle(ANN)], 'NOT_FOUND'],
  ['the platform says that it is paid', [...BOUND, settle('platform')], 'NOT_FOUND'],
  ['a deposit for a quote is seen for its payer', [...BOUND, see({ principal: BOB })], 'NOT_FOUND'],
  ['a deposit for a quote is parked', [...BOUND, see({ principal: SUSPENSE })], 'NOT_FOUND'],
  ['it is credited without its quote', [...BOUND, see(), credit({ quote_id: null })], 'NOT_FOUND'],
  ['it is credited for another quote', [...BOUND, see(), credit({ quote_id: 'quo_x' })], 'NOT_FOUND'],
  ['[I-14] it is credited twice', [...PAID, credit()], 'ALREADY_EXISTS'],
  ['somebody asks what another should pay', [...SETUP, topUp('5', BOB)], 'NOT_FOUND'],
  ['somebody asks for nothing', [...SETUP, topUp('0')], 'AMOUNT_NOT_POSITIVE'],
];

for (const [what, commands, rejection, field] of REFUSALS)
  test(`refused: ${what}`, () => {
    const { last } = run(...commands);
    assert.deepEqual([last.rejection, last.facts?.['field']], [rejection, field]);
  });

test('an offer has an id and a nonce made of whose request it is for, and stands for its time', () => {
  const { world } = run(...SETUP, offer());
  const { id, auth_nonce, round, status, expires_at_us } = stateOf(world);
  assert.deepEqual([id, status, round, auth_nonce], [ID, 'open', 0, authNonceOf(ID, 0, RAIL)]);
  assert.match(id, /^quo_[0-9a-f]{32}$/);
  assert.match(auth_nonce, /^0x[0-9a-f]{64}$/);
  assert.ok(BigInt(expires_at_us) >= (NOW_S + BigInt(QUOTE_MS) / 1_000n) * US_PER_S);
  const { world: later, last } = runLater(QUOTE_MS + 1_000, ...SETUP, offer(), offer());
  assert.equal(last.rejection, undefined);
  assert.deepEqual([stateOf(later).round, stateOf(later).auth_nonce], [1, authNonceOf(ID, 1, RAIL)]);
});

test('[I-40] a bound payment is sent for, whoever pays, and its principal has the money', () => {
  const { world } = run(...PAID);
  assert.deepEqual([stateOf(world).status, stateOf(world).deposit_id, sent(world)], ['paid', 'dep_1', 1]);
  assert.deepEqual([world.availableMicros(userAccount(ANN)), world.availableMicros(userAccount(BOB))], [700n, 0n]);
  assert.equal((world.state(depositStream('dep_1')) as DepositState).quote_id, ID);
  assert.equal(world.availableMicros(chainAccount(RAIL, 'treasury')), -700n);
});

test('a payment that is on time is bound also after its offer could be replaced', () => {
  const valid_before = String(NOW_S + BigInt(QUOTE_MS) / 1_000n + 300n);
  const { last } = runLater(QUOTE_MS + 1_000, ...SETUP, offer(), assign(), bind({ valid_before }));
  assert.equal(last.rejection, undefined);
});

test('our transaction and the credit come in either order, and the quote is paid when both did', () => {
  for (const ending of [
    [see(), credit(), conclude(true)],
    [conclude(true), see(), credit()],
    [replace, see(), conclude(true, '0xb0'), credit()],
    [see(), credit(), conclude(false)],
  ]) {
    const { world, last } = run(...BOUND, sign(), ...ending);
    assert.deepEqual([last.rejection, stateOf(world).status], [undefined, 'paid']);
    assert.notEqual(stateOf(world).broadcast.phase, 'signed');
  }
});

test('a stranger carries the payment to the chain before it is bound: the money is the quote’s all the same', () => {
  const { world, last } = run(...SETUP, offer(), assign(), see(), credit());
  assert.deepEqual([last.rejection, stateOf(world).status, stateOf(world).payment], [undefined, 'paid', null]);
});

test('a transaction that failed is tried again, and not for ever', () => {
  const tries = ['0', '1', '2'].flatMap((nonce) => [sign(nonce), conclude(false, `0xa${nonce}`)]);
  const { world } = run(...BOUND, ...tries);
  assert.deepEqual([stateOf(world).status, stateOf(world).tries], ['bound', SETTLE_TRIES_MAX]);
  assert.equal(sent(world), SETTLE_TRIES_MAX);
  assert.equal(
    world.execute({ key: 'x', principal: 'platform', ...sign('3') }, NOW_S * US_PER_S + 99n).rejection,
    'NOTHING_TO_CHANGE',
  );
  assert.equal(run(...BOUND, ...tries, see(), credit()).last.rejection, undefined);
});

test('a payment that failed after its last moment is not carried again', () => {
  const { world } = runLater(300_000, ...BOUND, sign(), conclude(false));
  assert.deepEqual([stateOf(world).status, sent(world)], ['bound', 1]);
});

test('[I-41] a lapsed payment makes room for another offer; its late money is its principal’s', () => {
  const { world, last } = run(...BOUND, lapse(NOW_S + 300n), offer());
  assert.deepEqual([last.rejection, stateOf(world).status, stateOf(world).round], [undefined, 'open', 1]);
  const late = run(...BOUND, lapse(NOW_S + 300n), see(), credit());
  assert.deepEqual([late.last.rejection, stateOf(late.world).status], [undefined, 'paid']);
});

test('money of an older round does not answer a newer payment', () => {
  const newer = [offer(), assign(OTHER_NONCE), bind({ nonce: OTHER_NONCE })];
  const { world } = run(...BOUND, lapse(NOW_S + 300n), ...newer, see(), credit());
  assert.deepEqual([stateOf(world).status, stateOf(world).deposit_id], ['bound', '']);
  assert.equal(world.availableMicros(userAccount(ANN)), 700n);
});

test('who asks for a top-up is told what was asked', () => {
  assert.deepEqual(run(...SETUP, topUp('5')).last.answer, { amount_micros: '5' });
});

const nonces = fc.constantFrom(NONCE, OTHER_NONCE);
const payers = fc.constantFrom(PAYER, OTHER_PAYER);
const commands: fc.Arbitrary<LawCommand> = fc.oneof(
  fc.constantFrom(offer(), offer({}, BOB), topUp('3'), replace, settle('platform')),
  fc.record({ nonce: nonces, payer: payers }).map(({ nonce, payer }) => assign(nonce, ANN, ID, payer)),
  fc
    .record({ from: payers, nonce: nonces, ahead: fc.constantFrom(5n, 300n) })
    .map(({ from, nonce, ahead }) => bind({ from, nonce, valid_before: String(NOW_S + ahead) })),
  fc.constantFrom('0', '1', '2').map((nonce) => sign(nonce)),
  fc
    .record({ ok: fc.boolean(), hash: fc.constantFrom('0xa0', '0xa1', '0xb0') })
    .map(({ ok, hash }) => conclude(ok, hash)),
  fc.constantFrom(0n, 300n).map((after) => lapse(NOW_S + after)),
  fc
    .record({ payer: payers, authorization: nonces, id: fc.constantFrom('dep_1', 'dep_2') })
    .map(({ id, ...change }) => see(change, id)),
  fc.constantFrom('dep_1', 'dep_2').map((id) => credit({}, ANN, id)),
);

test('[I-09] [I-14] [I-40] the laws hold, and a quote is paid only by a deposit that is in its principal’s account', () => {
  const invariant = (world: World): void => {
    const { status, deposit_id, broadcast } = stateOf(world);
    assert.equal(
      world.availableMicros(userAccount(ANN)),
      -(world.availableMicros(chainAccount(RAIL, 'treasury')) ?? 0n),
    );
    if (status === 'paid') assert.notEqual(deposit_id, '');
    assert.equal(status === 'signed' || broadcast.phase !== 'signed', true, 'nobody follows its transaction');
    if (deposit_id === '') return;
    const found = world.state(depositStream(deposit_id)) as DepositState;
    assert.deepEqual([found.principal, found.is_paid_out, found.quote_id], [ANN, true, ID]);
  };
  const stepUsMax = 1_000_000n;
  deciderLaws({ rules: RULES, commands, setup: SETUP, invariant, startUs: NOW_S * US_PER_S, stepUsMax, runs: 100 });
});
