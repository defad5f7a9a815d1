/** What is read the short way is what protobuf's own reader reads. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DescField, type DescMessage, fromJson, type JsonObject } from '@bufbuild/protobuf';
import type { Json } from '@tallystick/kernel';
import fc from 'fast-check';
import { readOperations } from './contract.ts';
import { ALL_SERVICES } from './derive/services.ts';
import { plainReaderOf } from './plain-values.ts';
import { elementKind, enumWord } from './rest-json.ts';

const inputs = [...new Set(readOperations(ALL_SERVICES).map(({ method }) => method.input))];
const fields = inputs.flatMap((type) =>
  type.fields
    .filter((field) => !field.oneof && field.fieldKind !== 'map' && elementKind(field) !== 'message')
    .map((field) => ({ type, field })),
);

const NUMBERS = [
  0,
  -0,
  1,
  -1,
  0.5,
  2 ** 31 - 1,
  2 ** 31,
  -(2 ** 31),
  2 ** 32 - 1,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  1e300,
];
const json: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom(...NUMBERS),
  fc.integer(),
  fc.boolean(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('\ud800', 'standard', 'constructor', '1'),
  fc.constantFrom<Json>([], {}, [1]),
);

/** Undefined when protobuf refuses it. */
function byProtobuf(type: DescMessage, field: DescField, value: Json): unknown {
  const words = field.enum?.values.find((member) => enumWord(member) === value);
  const spelled = words?.name ?? value;
  try {
    const message = fromJson(type, { [field.name]: field.fieldKind === 'list' ? [spelled] : spelled } as JsonObject);
    const read = (message as unknown as Record<string, unknown>)[field.localName];
    return field.fieldKind === 'list' ? (read as unknown[])[0] : read;
  } catch {
    return undefined;
  }
}

test('[I-31] whatever is read the short way, protobuf reads the same', () => {
  let plain = 0;
  for (const { type, field } of fields)
    fc.assert(
      fc.property(json, (value) => {
        const read = plainReaderOf(field)(value);
        if (read === undefined) return;
        plain++;
        assert.deepEqual(read, byProtobuf(type, field, value), `${type.typeName}.${field.name}`);
      }),
      { numRuns: 60 },
    );
  assert.ok(plain > fields.length, 'the short way is hardly ever taken');
});
