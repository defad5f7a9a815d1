/** The headers of payments: read strictly whatever somebody sends, written so that others can read them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Json, JsonObject } from '@tallystick/kernel';
import fc from 'fast-check';
import { ApiError } from './api-error.ts';
import { readPaymentRequired, readPaymentResponse, writePaymentSignature } from './payment.ts';

const ACCEPT = {
  scheme: 'exact',
  network: 'eip155:8453',
  asset: `0x${'a'.repeat(40)}`,
  amount: '1500000',
  payTo: `0x${'b'.repeat(40)}`,
  maxTimeoutSeconds: 300,
  extra: { name: 'USD Coin', version: '2', label: 'für später' },
};
const OFFER = { x402Version: 2, error: 'insufficient_funds', accepts: [ACCEPT] };
const encoded = (value: Json): string => Buffer.from(JSON.stringify(value)).toString('base64');
const accepting = (change: JsonObject): string => encoded({ ...OFFER, accepts: [{ ...ACCEPT, ...change }] });

test('an offer is read, and a payment echoes it as it was written', () => {
  const { error, options } = readPaymentRequired(encoded(OFFER));
  assert.equal(error, 'insufficient_funds');
  const [option] = options;
  assert.deepEqual([option?.amountMicros, option?.maxTimeoutS, option?.extra], [1_500_000n, 300, ACCEPT.extra]);
  const authorization = { from: 'f', to: 't', value: '1', validAfter: '0', validBefore: '9', nonce: 'n' };
  const header = writePaymentSignature(option!, { signature: '0x', authorization });
  assert.deepEqual(JSON.parse(Buffer.from(header, 'base64').toString()), {
    x402Version: 2,
    accepted: ACCEPT,
    payload: { signature: '0x', authorization },
  });
});

const BAD: [what: string, header: string][] = [
  ['empty', ''],
  ['no base64', '{"x402Version":2}'],
  ['no JSON', Buffer.from('{').toString('base64')],
  ['no UTF-8', Buffer.from([0x22, 0xff, 0x22]).toString('base64')],
  ['no object', encoded([OFFER])],
  ['null', encoded(null)],
  ['version 1', encoded({ ...OFFER, x402Version: 1 })],
  ['nothing accepted', encoded({ ...OFFER, accepts: [] })],
  ['accepts no list', encoded({ ...OFFER, accepts: {} })],
  ['too many options', encoded({ ...OFFER, accepts: Array.from({ length: 33 }, () => ACCEPT) })],
  ['larger than any offer', encoded({ ...OFFER, error: 'x'.repeat(40_000) })],
  ['an option that is no object', encoded({ ...OFFER, accepts: ['exact'] })],
  ['no scheme', accepting({ scheme: null })],
  ['network a number', accepting({ network: 8453 })],
  ['no payee', accepting({ payTo: '' })],
  ['amount a number', accepting({ amount: 1_500_000 })],
  ['amount 0', accepting({ amount: '0' })],
  ['amount below 0', accepting({ amount: '-1' })],
  ['amount with a fraction', accepting({ amount: '1.5' })],
  ['amount in hex', accepting({ amount: '0x10' })],
  ['amount beyond all money', accepting({ amount: '10000000000000000' })],
  ['a time of 0', accepting({ maxTimeoutSeconds: 0 })],
  ['a time of more than a day', accepting({ maxTimeoutSeconds: 86_401 })],
  ['a time with a fraction', accepting({ maxTimeoutSeconds: 1.5 })],
  ['extra a list', accepting({ extra: [] })],
];

describe('what is no offer is refused by name', () => {
  for (const [what, header] of BAD)
    test(what, () => {
      const isNamed = (fault: unknown): boolean =>
        fault instanceof ApiError && fault.code === 'payment_offer_invalid' && fault.problem['cause'] !== undefined;
      assert.throws(() => readPaymentRequired(header), isNamed);
    });
});

test('nothing that a platform sends throws anything else', () => {
  const headers = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json().map((text) => Buffer.from(text).toString('base64')),
  );
  const offers = fc
    .record({
      x402Version: fc.constant(2),
      accepts: fc.array(fc.dictionary(fc.constantFrom(...Object.keys(ACCEPT)), fc.jsonValue())),
    })
    .map((offer) => encoded(offer as Json));
  fc.assert(
    fc.property(fc.oneof(headers, offers), (header) => {
      try {
        readPaymentRequired(header);
      } catch (fault) {
        assert.ok(fault instanceof ApiError, String(fault));
      }
      readPaymentResponse(header, 'key');
    }),
    { numRuns: 500 },
  );
});

test('what a platform says of a payment that it took', () => {
  const said = { success: true, transaction: '0x1', network: 'eip155:1', payer: '0x2', amount: '7' };
  const payment = { transaction: '0x1', network: 'eip155:1', payer: '0x2', amountMicros: 7n, idempotencyKey: 'k' };
  assert.deepEqual(readPaymentResponse(encoded(said), 'k'), payment);
  assert.deepEqual(readPaymentResponse(encoded({ ...said, amount: 7 }), 'k'), { ...payment, amountMicros: undefined });
  for (const none of [null, '', 'x', encoded({ ...said, success: false }), encoded(null)])
    assert.equal(readPaymentResponse(none, 'k'), undefined);
});
