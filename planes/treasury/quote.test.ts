// Quotes and the authorizations that pay them: one row per command and refusal, and the laws over random histories.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  chainAccount,
  type JsonObject,
  memoryWorld,
  promisedAccount,
  SUSPENSE,
  userAccount,
  type World,
} from '@tallystick/kernel';
import { deciderLaws, type LawCommand } from '@tallystick/kernel/laws';
import fc from 'fast-check';
import { authNonceOf, type DepositState, depositStream, QUOTE_MS, quoteIdOf, SETTLE_TRIES_MAX } from './index.ts';
import {
  ANN,
  assign,
  BOB,
  BOUND,
  bind,
  conclude,
  credit,
  displaced,
  ID,
  LAPSE_BLOCK,
  lapse,
  NONCE,
  NOW_S,
  OTHER_NONCE,
  OTHER_PAYER,
  offer,
  PAID,
  PAYER,
  RAIL,
  RELAYER,
  RULES,
  replace,
  run,
  runLater,
  SETUP,
  scan,
  see,
  sent,
  settle,
  sign,
  stateOf,
  TREASURY,
  topUp,
  US_PER_S,
} from './testing.ts';

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
  [
    '[I-40] a payment whose nonce is not the offer’s is its payer’s own, or nobody’s',
    [...SETUP, offer(), assign(`0x${'33'.repeat(32)}`)],
    'PAYMENT_INVALID',
    'nonce',
  ],
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
  ['another chain is past it', [...BOUND, lapse(NOW_S + 300n, 'platform', false, 'eip155:1/00')], 'NOT_FOUND'],
  [
    '[I-41] it was used, and blocks that may hold its money were not looked through',
    [...BOUND, scan('8'), lapse(NOW_S + 300n, 'platform', true)],
    'NOTHING_TO_CHANGE',
  ],
  [
    'its payer has less',
    [...SETUP, offer(), assign(), bind({}, ANN, RAIL, ID, { cover_micros: '699' })],
    'PAYMENT_INVALID',
    'value',
  ],
  ['its transaction may still be mined', [...BOUND, sign(), lapse(NOW_S + 300n)], 'NOTHING_TO_CHANGE'],
  ['its money is there', [...BOUND, sign(), conclude(true), see(), credit(), lapse(NOW_S + 300n)], 'NOTHING_TO_CHANGE'],
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

test('[I-40] a login’s own address pays with any nonce, and nobody else presents what it signed for itself', () => {
  const [nonce, own] = [`0x${'33'.repeat(32)}`, ANN.slice(ANN.lastIndexOf(':') + 1)];
  const id = quoteIdOf(BOB, 'l');
  const stolen = run(...SETUP, offer({ key: 'l' }, BOB, id), assign(nonce, BOB, id, own)).last;
  assert.deepEqual([stolen.rejection, stolen.facts?.['field']], ['PAYMENT_INVALID', 'nonce']);
  assert.match(String(stolen.facts?.['cause']), /authNonce/);
  assert.equal(run(...SETUP, offer(), assign(nonce, ANN, ID, own)).last.rejection, undefined);
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

test('a transaction whose nonce was lost to another is tried again, and not for ever', () => {
  const tries = ['0', '1', '2'].flatMap((nonce) => [sign(nonce), displaced]);
  const { world } = run(...BOUND, ...tries);
  assert.deepEqual([stateOf(world).status, stateOf(world).tries], ['bound', SETTLE_TRIES_MAX]);
  assert.equal(sent(world), SETTLE_TRIES_MAX);
  assert.equal(run(...BOUND, ...tries, sign('3')).last.rejection, 'NOTHING_TO_CHANGE');
  assert.equal(run(...BOUND, ...tries, see(), credit()).last.rejection, undefined);
});

test('[I-45] a payment that the token undid is not carried again', () => {
  const undone = [...BOUND, sign(), conclude(false)];
  const { world } = run(...undone);
  assert.deepEqual([stateOf(world).status, sent(world)], ['bound', 1]);
  assert.equal(run(...undone, sign('1')).last.rejection, 'NOTHING_TO_CHANGE');
  assert.equal(run(...undone, see(), credit()).last.rejection, undefined);
});

test('[I-45] a payer’s money is promised once: what is bound and not over counts against the next, whoever’s it is', () => {
  const id = quoteIdOf(BOB, 'l');
  const nonce = authNonceOf(id, 0, RAIL);
  const next = (more: JsonObject) => [
    offer({ key: 'l' }, BOB, id),
    assign(nonce, BOB, id),
    bind({ nonce }, BOB, RAIL, id, more),
  ];
  const told = (before: LawCommand[], more: JsonObject) => run(...before, ...next(more)).last.rejection;
  assert.equal(told(BOUND, { cover_micros: '1399' }), 'PAYMENT_INVALID');
  assert.equal(told(BOUND, { cover_micros: '1400' }), undefined);
  assert.equal(told(BOUND, {}), 'PAYMENT_INVALID', 'nobody looked: one at a time');
  assert.equal(
    told([...BOUND, sign(), conclude(false)], { cover_micros: '1399' }),
    'PAYMENT_INVALID',
    'undone, not over',
  );
  for (const over of [PAID.slice(BOUND.length), [sign(), see(), credit()], [lapse(NOW_S + 300n)]])
    assert.equal(told([...BOUND, ...over], { cover_micros: '700' }), undefined);
});

test('[I-41] a payment that was used and whose money never came lapses when all its blocks were looked through', () => {
  const used = [...BOUND, scan(LAPSE_BLOCK), lapse(NOW_S + 300n, 'platform', true)];
  assert.equal(stateOf(run(...used).world).status, 'lapsed');
  assert.equal(stateOf(run(...used, see(), credit()).world).status, 'paid', 'late money');
});

test('a payment that lost its nonce after its last moment is not carried again', () => {
  const { world } = runLater(300_000, ...BOUND, sign(), displaced);
  assert.deepEqual([stateOf(world).status, sent(world)], ['bound', 1]);
});

test('[I-41] a payment whose final transaction the chain forgot before its money was seen lapses like one that was never sent', () => {
  const forgotten = [...BOUND, sign(), conclude(true), lapse(NOW_S + 300n)];
  const { world, last } = run(...forgotten, offer());
  assert.deepEqual([last.rejection, stateOf(world).status, stateOf(world).round], [undefined, 'open', 1]);
  const late = run(...forgotten, see(), credit());
  assert.deepEqual([late.last.rejection, stateOf(late.world).status], [undefined, 'paid']);
});

test('[I-41] a payment whose money is in the account does not lapse, however late its quote hears of it', () => {
  const deaf = memoryWorld({ ...RULES, reactions: [] });
  const say = (all: LawCommand[]) =>
    all
      .map((command, i) =>
        deaf.execute({ principal: 'platform', ...command, key: `deaf ${i} of ${all.length}` }, NOW_S * US_PER_S),
      )
      .at(-1)!;
  say([...BOUND, sign(), conclude(true), see(), credit(), scan(LAPSE_BLOCK)]);
  assert.deepEqual([stateOf(deaf).status, stateOf(deaf).deposit_id], ['signed', '']);
  assert.equal(say([lapse(NOW_S + 300n, 'platform', true)]).rejection, 'NOTHING_TO_CHANGE');
});

test('what was final in an earlier round is kept for when the chain forgets it', () => {
  const { world } = run(...BOUND, sign(), conclude(true), see(), credit(), offer());
  const { status, broadcast, carried } = stateOf(world);
  assert.deepEqual([status, broadcast.phase, carried?.phase, carried?.attempts.length], ['open', 'none', 'final', 1]);
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

/** Of each payer, by its account and by the quote. */
const promisedMicros = (world: World) =>
  [PAYER, OTHER_PAYER].map((payer) => world.availableMicros(promisedAccount(RAIL, payer)) ?? 0n);
const promisedIn = (world: World) => {
  const { status, payment, deposit_id } = stateOf(world);
  const isUnderWay = (status === 'bound' || status === 'signed') && deposit_id === '';
  return [PAYER, OTHER_PAYER].map((payer) => (isUnderWay && payment?.from === payer ? BigInt(payment.value) : 0n));
};

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
    .record({ ok: fc.boolean(), hash: fc.constantFrom('0xa0', '0xa1', '0xb0', '') })
    .map(({ ok, hash }) => conclude(ok, hash)),
  fc
    .record({ after: fc.constantFrom(0n, 300n), isUsed: fc.boolean() })
    .map(({ after, isUsed }) => lapse(NOW_S + after, 'platform', isUsed)),
  fc.constantFrom('8', LAPSE_BLOCK).map(scan),
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
    assert.deepEqual(promisedMicros(world), promisedIn(world), 'what is promised is what is under way');
    if (deposit_id === '') return;
    const found = world.state(depositStream(deposit_id)) as DepositState;
    assert.deepEqual([found.principal, found.is_paid_out, found.quote_id], [ANN, true, ID]);
  };
  const stepUsMax = 1_000_000n;
  deciderLaws({ rules: RULES, commands, setup: SETUP, invariant, startUs: NOW_S * US_PER_S, stepUsMax, runs: 100 });
});
