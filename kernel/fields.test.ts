// Readers of body members, account names and printed times.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as accounts from './accounts.ts';
import { countIn, countsIn, flagIn, microsIn, optionalIn, textIn, textsIn, timeUsIn } from './fields.ts';
import type { Json, JsonObject } from './json.ts';
import { timeMsOf, timeTextOf } from './rfc3339.ts';

type Reader = (body: JsonObject, name: string) => unknown;
const ROWS: [string, Reader, Json[], Json[]][] = [
  ['text', textIn, ['', 'a'], [1, null, [], true]],
  ['count', countIn, [0, 7], [-1, 0.5, '1', null, 2 ** 53]],
  ['flag', flagIn, [true, false], ['true', 0, null]],
  ['micros', microsIn, ['0', '-5', '9'], [5, '05', '1.0', null]],
  ['time', timeUsIn, ['0', '1767225600000000'], [5, '-1', '01', null]],
  ['texts', textsIn, [[], ['a']], ['a', [1], null]],
  ['counts', countsIn, [[], [1]], [['1'], [-1], null]],
];
for (const [what, read, right, wrong] of ROWS)
  test(`a ${what} is read, anything else throws and names the member`, () => {
    for (const value of right) assert.doesNotThrow(() => read({ x: value }, 'x'));
    for (const value of wrong) assert.throws(() => read({ x: value }, 'x'), TypeError);
    assert.throws(() => read({}, 'x'), /x must be/);
  });

test('a member that may be missing is null when it is', () => {
  assert.deepEqual([optionalIn({}, 'x', textIn), optionalIn({ x: null }, 'x', textIn)], [null, null]);
  assert.equal(optionalIn({ x: 'a' }, 'x', textIn), 'a');
});

test('no two accounts share a name', () => {
  const names = Object.values(accounts).map((name) =>
    typeof name === 'string' ? name : (name as (...parts: string[]) => string)('x', 'y'),
  );
  assert.equal(new Set(names).size, names.length);
});

test('a printed time reads back to its millisecond', () => {
  assert.equal(timeTextOf(951_782_400_000_000n), '2000-02-29T00:00:00.000Z');
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 253_402_300_799_999 }), (ms) => {
      assert.equal(timeMsOf(timeTextOf(BigInt(ms) * 1_000n)), ms);
    }),
  );
});
