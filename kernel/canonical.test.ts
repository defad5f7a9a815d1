// Canonical JSON and its strict reading, held to the public vectors, to the `canonicalize` package and to JSON.parse.
// Promise: each kind of ambiguity has a row and is refused with its place.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import canonicalize from 'canonicalize';
import fc from 'fast-check';
import { isCanonical, JSON_DEPTH_MAX, jcs, parseStrict } from './canonical.ts';
import type { Json } from './json.ts';
import { parseSlowly } from './strict-json.ts';

const VECTORS = new URL('../proto/vectors/jcs/', import.meta.url);
const vector = (name: string): string => readFileSync(new URL(name, VECTORS), 'utf8');

/** What the house may say: no floats, no -0, no lone surrogates, no `__proto__`. */
const { json } = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.oneof(
      fc.maxSafeInteger(),
      fc.boolean(),
      fc.constant(null),
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'grapheme' }),
    ),
    fc.array(tie('json'), { maxLength: 6 }),
    fc.dictionary(
      fc.string({ unit: 'binary' }).filter((key) => key !== '__proto__'),
      tie('json'),
      { maxKeys: 6, noNullPrototype: true },
    ),
  ),
}));

for (const name of readdirSync(new URL('input/', VECTORS))) {
  test(`RFC 8785 vector ${name}`, () => {
    const value: Json = JSON.parse(vector(`input/${name}`));
    if (name === 'values.json') {
      assert.throws(
        () => jcs(value),
        /not a safe integer: 333333333.3333333 at \/numbers\/0/,
        'the house has no floats',
      );
      delete (value as { numbers?: Json }).numbers;
      assert.equal(
        jcs(value),
        vector(`output/${name}`)
          .trim()
          .replace(/"numbers":\[[^\]]*\],/, ''),
      );
    } else assert.equal(jcs(value), vector(`output/${name}`).trim());
  });
}

test('[I-13] jcs equals canonicalize on everything it accepts, and both readers give the value back', () => {
  const property = fc.property(json, (value) => {
    const text = jcs(value);
    assert.equal(text, canonicalize(value));
    assert.deepEqual(parseStrict(text), value);
    assert.deepEqual(parseSlowly(text, JSON_DEPTH_MAX), value);
    assert.deepEqual(parseStrict(Buffer.from(JSON.stringify(value, null, 2))), value);
    assert.ok(isCanonical(text) && isCanonical(Buffer.from(text)));
  });
  fc.assert(property, { numRuns: 300 });
});

test('the strict reader accepts nothing that JSON.parse refuses, and reads the rest alike', () => {
  const pieces = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"a"',
    '"b"',
    '"\\ud800"',
    '"\\u0061"',
    '1',
    '-',
    '0',
    '.5',
    'e1',
    'true',
    'null',
    ' ',
    '\n',
    '\ufeff',
    '"\t"',
    "'",
  );
  const property = fc.property(fc.array(pieces, { maxLength: 9 }), (parts) => {
    const text = parts.join('');
    const strict = attempt(() => parseStrict(text));
    const plain = attempt(() => JSON.parse(text));
    if (strict !== undefined) assert.deepEqual(strict, plain);
  });
  fc.assert(property, { numRuns: 3_000 });
});

const attempt = (read: () => unknown): unknown => {
  try {
    return { value: read() };
  } catch (error) {
    assert.ok(error instanceof SyntaxError);
    return undefined;
  }
};

const loop: Json[] = [];
loop.push(loop);
class Point {
  x = 1;
}
const UNWRITABLE: [string, unknown, RegExp][] = [
  ['a float', { a: [1, 0.1] }, /0\.1 at \/a\/1/],
  ['minus zero', { a: -0 }, /at \/a/],
  ['NaN', [Number.NaN], /at \/0/],
  ['infinity', [Number.POSITIVE_INFINITY], /at \/0/],
  ['an unsafe integer', { 'a/b~': 2 ** 53 }, /at \/a~1b~0/],
  ['undefined', { a: undefined }, /undefined at \/a/],
  ['the root', undefined, /undefined at the root/],
  ['a hole', Object.assign([1], { length: 2 }), /undefined at \/1/],
  ['a bigint', { a: 1n }, /bigint at \/a/],
  ['a function', { toJSON: () => 1 }, /function at \/toJSON/],
  ['a date', { a: new Date(0) }, /plain object at \/a/],
  ['a map', new Map(), /plain object at the root/],
  ['bytes', { a: Buffer.from('a') }, /at \/a/],
  ['a class', { a: new Point() }, /at \/a/],
  ['a lone surrogate', { a: 'x\ud800' }, /lone surrogate at \/a/],
  ['a lone surrogate in a key', { a: { '\udc00': 1 } }, /lone surrogate at \/a\/\udc00/],
  ['__proto__', JSON.parse('{"a":{"__proto__":1}}'), /__proto__ at \/a\/__proto__/],
  ['a circle', loop, /deeper than 64/],
];

for (const [what, value, found] of UNWRITABLE) {
  test(`jcs refuses ${what}`, () => {
    assert.throws(
      () => jcs(value as Json),
      (error: Error) => error instanceof TypeError && found.test(error.message),
    );
  });
}

const UNREADABLE: [string, string | Uint8Array, RegExp][] = [
  ['a duplicate key', '{"a":1,"b":2,"a":3}', /duplicate key "a", offset 13/],
  ['a duplicate key in other letters', '{"a":1,"\\u0061":3}', /duplicate key "a"/],
  ['__proto__', '{"__proto__":1}', /__proto__, offset 1/],
  ['a float', '[1.5]', /not an integer: 1.5, offset 1/],
  ['an integer with a point', '[1.0]', /not an integer/],
  ['an exponent', '[1e2]', /not an integer/],
  ['an unsafe integer', '[9007199254740993]', /not a safe integer: 9007199254740993/],
  ['minus zero', '-0', /not a safe integer/],
  ['a leading zero', '01', /follows the value, offset 1/],
  ['a lone surrogate', '"\\ud800"', /lone surrogate/],
  ['bytes after the value', '{} {}', /follows the value/],
  ['nothing', '', /value is missing/],
  ['a byte order mark', '\ufeff{}', /offset 0/],
  ['a trailing comma', '[1,]', /value is missing/],
  ['a control character', '"\u0001"', /malformed/],
  ['bad UTF-8', Uint8Array.of(0x22, 0xff, 0x22), /UTF-8/],
  ['too deep', '['.repeat(65) + ']'.repeat(65), /deeper than 64/],
  ['very deep', '['.repeat(1e6), /deeper than 64/],
];

for (const [what, text, found] of UNREADABLE) {
  test(`[I-31] parseStrict refuses ${what}`, () => {
    assert.throws(
      () => parseStrict(text),
      (error: Error) => error instanceof SyntaxError && found.test(error.message),
    );
    assert.equal(isCanonical(text), false);
  });
}

test('what can be read but has another spelling is not canonical', () => {
  for (const text of ['{"b":1,"a":2}', '{ }', '"\\u0061"', '[1 ]']) assert.equal(isCanonical(text) ? text : '', '');
  assert.deepEqual(parseStrict('[ null , "\\u007f" ]'), [null, '\u007f']);
  assert.equal(parseStrict('null'), null);
});
