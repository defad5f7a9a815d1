import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { parseAmount } from './amount.ts';
import { DURATION_MS_MAX, formatDuration, parseDuration } from './duration.ts';
import { parsePlace } from './place.ts';
import { UsageError } from './usage-error.ts';

const AMOUNTS: [string, bigint | RegExp][] = [
  ['$1.25', 1_250_000n],
  ['1.25usd', 1_250_000n],
  ['1.25USD', 1_250_000n],
  ['1250000micros', 1_250_000n],
  ['$0.000001', 1n],
  ['$9007199254.740991', 9_007_199_254_740_991n],
  ['$007', 7_000_000n],
  ['5', /no unit.*/],
  ['1.25', /no unit/],
  ['$0', /not more than zero/],
  ['0micros', /not more than zero/],
  ['$1.0000001', /smaller than a micro-USD/],
  ['$9007199254.740992', /above the largest amount/],
  ['1.5micros', /is not an amount/],
  ['-1usd', /is not an amount/],
  ['$-1', /is not an amount/],
  ['$1e3', /is not an amount/],
  ['$1,000', /is not an amount/],
  ['1.25 usd', /is not an amount/],
  ['$1usd', /is not an amount/],
  ['$1.', /is not an amount/],
  ['1.25eur', /is not an amount/],
  ['', /is not an amount/],
  ['\u0661usd', /is not an amount/],
];

const DURATIONS: [string, bigint | RegExp][] = [
  ['90s', 90_000n],
  ['5m', 300_000n],
  ['24h', 86_400_000n],
  ['365d', DURATION_MS_MAX],
  ['250ms', 250n],
  ['1h30m', 5_400_000n],
  ['90', /no unit/],
  ['0s', /not more than zero/],
  ['1h1h', /a unit twice/],
  ['366d', /longer than 365d/],
  ['1.5h', /is not a length of time/],
  ['-5m', /is not a length of time/],
  ['5 m', /is not a length of time/],
  ['5w', /is not a length of time/],
  ['', /is not a length of time/],
];

function checkRows(parse: (text: string) => bigint, rows: [string, bigint | RegExp][]): void {
  for (const [text, wanted] of rows)
    if (typeof wanted === 'bigint') assert.equal(parse(text), wanted, text);
    else
      assert.throws(
        () => parse(text),
        (fault) => fault instanceof UsageError && wanted.test(fault.message) && fault.suggestion !== '',
        text,
      );
}

test('[I-13] an amount is exact, has a unit, and is refused with a suggestion otherwise', () =>
  checkRows(parseAmount, AMOUNTS));
test('a length of time has a unit, and is refused with a suggestion otherwise', () =>
  checkRows(parseDuration, DURATIONS));

test('[I-13] dollars and micros are the same amount for every amount', () => {
  fc.assert(
    fc.property(fc.bigInt(1n, 2n ** 53n - 1n), (micros) => {
      const dollars = `${micros / 1_000_000n}.${String(micros % 1_000_000n).padStart(6, '0')}`;
      for (const text of [`$${dollars}`, `${dollars}usd`, `${micros}micros`]) assert.equal(parseAmount(text), micros);
    }),
  );
});

test('a length of time that is printed is read back', () => {
  fc.assert(
    fc.property(fc.bigInt(1n, DURATION_MS_MAX), (ms) => {
      assert.equal(parseDuration(formatDuration(ms)), ms);
    }),
  );
  assert.equal(formatDuration(0n), '0s');
});

test('no text makes a parser fail in another way than by a usage error', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      for (const parse of [parseAmount, parseDuration])
        try {
          assert.ok(parse(text) > 0n);
        } catch (fault) {
          assert.ok(fault instanceof UsageError);
        }
    }),
  );
});

test('a place is a path here unless it begins with a sandbox', () => {
  const id = `sbx_${'0'.repeat(32)}`;
  assert.deepEqual(parsePlace(`${id}:a/b`), { kind: 'sandbox', sandboxId: id, path: 'a/b' });
  assert.deepEqual(parsePlace(`${id}:`), { kind: 'sandbox', sandboxId: id, path: '' });
  assert.deepEqual(parsePlace(`${id}:a:b`), { kind: 'sandbox', sandboxId: id, path: 'a:b' });
  for (const path of ['a/b', './sbx_1:x', 'C:\\x', 'a:b', 'sbx_'])
    assert.deepEqual(parsePlace(path), { kind: 'here', path });
  for (const text of ['sbx_12:x', `${id.toUpperCase().replace('SBX', 'sbx')}1:x`])
    assert.throws(() => parsePlace(text), UsageError);
});
