// Headers of payments: what is read, what is refused and why, and that no input does anything else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiRefusal } from '@tallystick/surface';
import type { QuoteState } from '@tallystick/treasury';
import fc from 'fast-check';
import { ladderOf, OPTION_MICROS_MAX } from './ladder.ts';
import { assertAccepted, paymentRequired, paymentResponse, readPayment, requirementOf } from './wire.ts';

const ADDRESS = `0x${'aB'.repeat(20)}`;
const NONCE = `0x${'cD'.repeat(32)}`;
const QUOTE = {
  id: `quo_${'0'.repeat(32)}`,
  principal: `eip155:1:0x${'a'.repeat(40)}`,
  auth_nonce: NONCE.toLowerCase(),
  options: [
    { amount_micros: '100000', label: 'minimum' },
    { amount_micros: '250000', label: 'runway_6h' },
  ],
  network: 'eip155:31337',
  token: `0x${'1'.repeat(40)}`,
  pay_to: ADDRESS.toLowerCase(),
} as unknown as QuoteState;
const NAMES = { tokenName: 'USD Coin', tokenVersion: '1' };
const ACCEPTED = requirementOf(QUOTE, QUOTE.options[1]!, NAMES);
const AUTHORIZATION = {
  from: `0x${'Fe'.repeat(20)}`,
  to: ADDRESS,
  value: '250000',
  validAfter: '0',
  validBefore: '1800000000',
  nonce: NONCE,
};
const SIGNATURE = `0x${'5A'.repeat(65)}`;
const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64');
const sent = (change: object = {}, authorization: object = {}, signature: unknown = SIGNATURE) =>
  encoded({
    x402Version: 2,
    accepted: ACCEPTED,
    payload: { signature, authorization: { ...AUTHORIZATION, ...authorization } },
    ...change,
  });

const fieldOf = (act: () => unknown): unknown => {
  try {
    act();
  } catch (fault) {
    if (!(fault instanceof ApiRefusal)) throw fault;
    assert.equal(fault.code, 'PAYMENT_INVALID');
    return fault.facts['field'];
  }
  return undefined;
};

test('a payment is read in one spelling, whatever the payer’s', () => {
  const { payment } = readPayment(sent({ extensions: { a: 1 }, resource: null }));
  assert.deepEqual(payment, {
    from: `0x${'fe'.repeat(20)}`,
    to: ADDRESS.toLowerCase(),
    value: '250000',
    valid_after: '0',
    valid_before: '1800000000',
    nonce: NONCE.toLowerCase(),
    signature: SIGNATURE.toLowerCase(),
  });
});

const UNREADABLE: [string, string, string][] = [
  ['nothing', '', 'payment-signature'],
  ['what is not base64', '{"a":1}', 'payment-signature'],
  ['base64 for URLs', 'eyJhIjoi-_J9', 'payment-signature'],
  ['what is not JSON', Buffer.from('{').toString('base64'), 'payment-signature'],
  ['a member twice', Buffer.from('{"x402Version":2,"x402Version":2}').toString('base64'), 'payment-signature'],
  ['a list', encoded([]), 'payment-signature'],
  ['null', encoded(null), 'payment-signature'],
  ['version 1', sent({ x402Version: 1 }), 'x402Version'],
  ['no offer', sent({ accepted: null }), 'accepted'],
  ['no payload', sent({ payload: [] }), 'payload'],
  ['no authorization', sent({ payload: { signature: SIGNATURE } }), 'authorization'],
  ['a payer that is none', sent({}, { from: '0x1' }), 'from'],
  ['a payee that is none', sent({}, { to: 7 }), 'to'],
  ['a fraction', sent({}, { value: '1.5' }), 'value'],
  ['a negative amount', sent({}, { value: '-1' }), 'value'],
  ['a number that is not text', sent({}, { value: 250_000 }), 'value'],
  ['an amount beyond every amount', sent({}, { value: '9'.repeat(17) }), 'value'],
  ['a hexadecimal time', sent({}, { validBefore: '0x10' }), 'validBefore'],
  ['a time beyond all times', sent({}, { validAfter: '9'.repeat(13) }), 'validAfter'],
  ['half a nonce', sent({}, { nonce: `0x${'11'.repeat(16)}` }), 'nonce'],
  ['half a byte of signature', sent({}, {}, `${SIGNATURE}1`), 'signature'],
  ['a short signature', sent({}, {}, `0x${'11'.repeat(64)}`), 'signature'],
  ['an endless signature', sent({}, {}, `0x${'11'.repeat(2_049)}`), 'signature'],
  ['no signature', sent({}, {}, null), 'signature'],
];

for (const [what, header, field] of UNREADABLE)
  test(`refused: ${what}`, () => {
    assert.equal(
      fieldOf(() => readPayment(header)),
      field,
    );
  });

const ACCEPTS: [string, object, object, string | undefined][] = [
  ['what was offered', {}, {}, undefined],
  ['what was offered, in other letters', { payTo: ADDRESS.toUpperCase().replace('0X', '0x') }, {}, undefined],
  ['another scheme', { scheme: 'upto' }, {}, 'accepted.scheme'],
  ['another network', { network: 'eip155:1' }, {}, 'accepted.network'],
  ['another token', { asset: ADDRESS }, {}, 'accepted.asset'],
  ['another amount', { amount: '1' }, {}, 'accepted.amount'],
  ['another treasury', { payTo: `0x${'9'.repeat(40)}` }, {}, 'accepted.payTo'],
  ['another time', { maxTimeoutSeconds: 301 }, {}, 'accepted.maxTimeoutSeconds'],
  ['another quote', { extra: { ...ACCEPTED.extra, quoteId: 'quo_1' } }, {}, 'accepted.extra.quoteId'],
  ['another account', { extra: { ...ACCEPTED.extra, creditAccount: 'x' } }, {}, 'accepted.extra'],
  ['another round', { extra: { ...ACCEPTED.extra, authNonce: '0x' } }, {}, 'accepted.extra'],
  ['no extra', { extra: undefined }, {}, 'accepted.extra'],
  ['another option’s amount paid', {}, { value: '100000' }, 'value'],
];

for (const [what, change, authorization, field] of ACCEPTS)
  test(`accepted: ${what}`, () => {
    const read = readPayment(sent({ accepted: { ...ACCEPTED, ...change } }, authorization));
    assert.equal(
      fieldOf(() => assertAccepted(QUOTE, read, NAMES)),
      field,
    );
  });

test('whatever is sent, the answer is a payment or a named refusal', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.base64String(),
        fc.json().map(encoded),
        fc.anything().map((any) => {
          try {
            return sent({ accepted: any, payload: any });
          } catch {
            return '';
          }
        }),
      ),
      (header) => {
        fieldOf(() => assertAccepted(QUOTE, readPayment(header), NAMES));
      },
    ),
    { numRuns: 500 },
  );
});

test('a 402 and a success say what the public client reads', () => {
  const { x402Version, resource, accepts } = JSON.parse(
    Buffer.from(paymentRequired(QUOTE, NAMES, 'http://h/v1/x'), 'base64').toString(),
  );
  assert.deepEqual([x402Version, resource.url, accepts.length], [2, 'http://h/v1/x', 2]);
  assert.deepEqual(accepts[1], ACCEPTED);
  const done = { transaction: '0x1', network: 'eip155:1', payer: '0x2', amount: '5' };
  assert.deepEqual(JSON.parse(Buffer.from(paymentResponse(done), 'base64').toString()), { success: true, ...done });
});

const LADDERS: [string, [bigint, bigint, bigint], [string, string][]][] = [
  [
    'what is missing, and three times to live',
    [500_000n, 60_000n, 100_000n],
    [
      ['shortfall', '500000'],
      ['runway_6h', '860000'],
      ['runway_24h', '1940000'],
      ['safe_floor_48h', '3380000'],
    ],
  ],
  ['nothing runs', [500_000n, 0n, 100_000n], [['shortfall', '500000']]],
  [
    'little is missing: none below the smallest payment',
    [7n, 2_820n, 100_000n],
    [
      ['minimum', '100000'],
      ['safe_floor_48h', '135367'],
    ],
  ],
  ['an empire: none above what is sane', [5n, OPTION_MICROS_MAX, 5n], [['shortfall', '5']]],
];

for (const [what, [shortfall, burn, least], expected] of LADDERS)
  test(`offered: ${what}`, () => {
    const told = ladderOf(shortfall, burn, least).map(({ label, amount_micros }) => [label, amount_micros]);
    assert.deepEqual(told, expected);
  });
