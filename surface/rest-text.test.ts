/** Answers written straight as text read like the whole message printed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type DescMessage, type Message, ScalarType, toJson } from '@bufbuild/protobuf';
import { TimestampSchema } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { readOperations } from './contract.ts';
import { ALL_SERVICES } from './derive/services.ts';
import { elementKind, isInt64, restPrinter } from './rest-json.ts';
import { restWriter } from './rest-text.ts';

const outputs = [...new Set(readOperations(ALL_SERVICES).map(({ method }) => method.output))];
const DEPTH_MAX = 4;

/** What a handler may return for this type: any field may be missing, nested messages are plain. */
function partly(type: DescMessage, depth = 0): fc.Arbitrary<Record<string, unknown>> {
  const fields: Record<string, fc.Arbitrary<unknown>> = {};
  for (const field of type.fields) {
    const one = element(field, depth);
    const whole =
      field.fieldKind === 'list'
        ? fc.array(one, { maxLength: 3 })
        : field.fieldKind === 'map'
          ? fc.dictionary(fc.string({ minLength: 1, maxLength: 5 }), one, { maxKeys: 3 })
          : one;
    if (!field.oneof) fields[field.localName] = whole;
    else
      fields[field.oneof.localName] = fc.oneof(
        fields[field.oneof.localName] ?? fc.constant({ case: undefined }),
        one.map((value) => ({ case: field.localName, value })),
      );
  }
  return fc.record(fields, { requiredKeys: [] });
}

function element(field: DescMessage['fields'][number], depth: number): fc.Arbitrary<unknown> {
  const kind = elementKind(field);
  if (kind === 'enum') return fc.constantFrom(...field.enum!.values.map(({ number }) => number));
  if (kind === 'message') {
    const nested = field.message!;
    if (nested.typeName === 'google.protobuf.Timestamp')
      return fc.record({ seconds: fc.bigInt(-62_135_596_800n, 253_402_300_799n), nanos: nanosOf });
    if (nested.typeName.startsWith('google.protobuf.')) return fc.constant(undefined);
    return depth === DEPTH_MAX ? fc.constant(undefined) : partly(nested, depth + 1);
  }
  const type = field.scalar!;
  if (isInt64(type)) return fc.bigInt(0n, 2n ** 53n - 1n);
  if (type === ScalarType.STRING) return fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed());
  if (type === ScalarType.BYTES) return fc.uint8Array({ maxLength: 8 });
  if (type === ScalarType.BOOL) return fc.boolean();
  if (type === ScalarType.DOUBLE) return fc.double();
  if (type === ScalarType.FLOAT) return fc.float();
  return fc.nat(2 ** 31 - 1);
}

const nanosOf = fc.oneof(fc.constantFrom(0, 5_000_000, 120_000, 999_999_999), fc.integer({ min: 0, max: 999_999_999 }));

test('every answer of the contract is written as its whole message is printed', () => {
  for (const type of outputs)
    fc.assert(
      fc.property(partly(type), (init) => {
        const printed = restPrinter(type)(create(type, init) as Message);
        assert.deepEqual(JSON.parse(restWriter(type)(init)), JSON.parse(JSON.stringify(printed)));
        assert.equal(restWriter(type)(create(type, init) as never), JSON.stringify(printed));
      }),
      { numRuns: 15 },
    );
});

test('a moment is written as protobuf prints it, and none that protobuf refuses', () => {
  const write = restWriter(TimestampSchema);
  fc.assert(
    fc.property(fc.bigInt(-62_135_596_801n, 253_402_300_800n), nanosOf, (seconds, nanos) => {
      const moment = create(TimestampSchema, { seconds, nanos });
      const wanted = (() => {
        try {
          return JSON.stringify(toJson(TimestampSchema, moment));
        } catch {
          return undefined;
        }
      })();
      if (wanted === undefined) assert.throws(() => write({ seconds, nanos }), RangeError);
      else assert.equal(write({ seconds, nanos }), wanted);
    }),
  );
  for (const seconds of [-62_135_596_801n, 253_402_300_800n]) assert.throws(() => write({ seconds }), RangeError);
});
