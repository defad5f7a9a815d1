/** What agents are shown of every tool, against the rules of the contract. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createValidator } from '@bufbuild/protovalidate';
import type { Json, JsonObject } from '@tallystick/kernel';
import tools from '@tallystick/proto/derived/mcp-tools.json' with { type: 'json' };
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { type Operation, readOperations } from './contract.ts';
import { ALL_SERVICES } from './derive/services.ts';
import { readMessage } from './message-reader.ts';
import { restPrinter } from './rest-json.ts';

interface ToolDocument {
  name: string;
  inputSchema: JsonObject;
  outputSchema: JsonObject;
}

const RUNS = 300;
/** A filter that nothing passes would never end. */
const SAMPLES = 1_000;
const documents = tools as unknown as ToolDocument[];
const operations = readOperations(ALL_SERVICES).filter(({ tool }) => tool);
const validator = createValidator();
const ajv = new Ajv2020({ strict: false, formats: { int32: true, int64: true, 'date-time': true } });

const TEXTS = [
  '',
  'x',
  'SIGTERM',
  'A_b',
  '1',
  'sandbox-base:v1.0.0',
  'a:latest',
  'deposit:dep_1',
  `eip155:1:0x${'0'.repeat(40)}`,
  `0x${'0'.repeat(40)}`,
].concat(
  ['job', 'sbx', 'key', 'exec', 'rcp', 'snp', 'wch', 'dep', 'quo', 'wdr'].map(
    (prefix) => `${prefix}_${'0'.repeat(32)}`,
  ),
);
const NUMBERS = [0, 1, -1, 59_999, 60_000, 60_001, 2 ** 31 - 1, Number.MAX_SAFE_INTEGER];

const around = (limit: unknown): number[] => (typeof limit === 'number' ? [limit - 1, limit, limit + 1] : []);
const bounded = (...values: number[]): number[] => values.filter((value) => Math.abs(value) <= Number.MAX_SAFE_INTEGER);

/** Values on both sides of everything that a schema forbids, of the type that it asks for. */
function valuesFor(schema: JsonObject): fc.Arbitrary<Json> {
  const { type, minimum, maximum, exclusiveMinimum, minLength, maxLength, items, additionalProperties: inner } = schema;
  if (type === 'boolean') return fc.boolean();
  if (type === 'integer') {
    const limits = [minimum, maximum, exclusiveMinimum].flatMap(around);
    // a number that does not fit its width is a matter of types, which schemas leave to minimum and maximum
    const isNarrow = schema['format'] === 'int32';
    const fits = (value: number): boolean => !isNarrow || Math.abs(value) < 2 ** 31;
    return fc.constantFrom(...bounded(...NUMBERS, ...limits).filter(fits));
  }
  if (type === 'array') return fc.array(valuesFor(items as JsonObject), { maxLength: 3 }).map((list) => list as Json[]);
  if (type === 'object' && schema['properties'])
    return fc.record<JsonObject, string>(
      Object.fromEntries(
        Object.entries(schema['properties'] as Record<string, JsonObject>).map(([name, one]) => [name, valuesFor(one)]),
      ),
      { requiredKeys: [] },
    ) as fc.Arbitrary<Json>;
  if (type === 'object')
    return fc.dictionary(fc.constantFrom(...TEXTS), valuesFor(inner as JsonObject), { maxKeys: 2 });
  if (schema['enum']) return fc.constantFrom(...(schema['enum'] as string[]));
  if (schema['contentEncoding'] === 'base64')
    return fc.uint8Array({ maxLength: 9 }).map((bytes) => Buffer.from(bytes).toString('base64'));
  const lengths = [minLength, maxLength].flatMap(around).filter((length) => length >= 0 && length < 5_000);
  return fc.oneof(
    fc.constantFrom(...TEXTS),
    fc.constantFrom(0, ...lengths).map((length) => 'x'.repeat(length)),
  );
}

/** Mostly what the schema accepts, so that inputs of many members are valid often enough. */
function memberFor(schema: JsonObject): fc.Arbitrary<Json> {
  const accepts = ajv.compile(schema);
  const values = valuesFor(schema);
  if (!fc.sample(values, SAMPLES).some((value) => accepts(value)))
    throw new Error(`no value is tried that ${JSON.stringify(schema)} accepts: add one to TEXTS or NUMBERS`);
  const valid = values.filter((value) => accepts(value));
  return fc.oneof({ weight: 9, arbitrary: valid }, { weight: 1, arbitrary: values });
}

/** Inputs in which members are missing, also needed ones, and one may be unknown. */
function inputsFor({ inputSchema }: ToolDocument): fc.Arbitrary<JsonObject> {
  const { properties, required = [] } = inputSchema as { properties: Record<string, JsonObject>; required?: string[] };
  const members = Object.fromEntries(Object.entries(properties).map(([name, schema]) => [name, memberFor(schema)]));
  const whole = fc.record<JsonObject, string>(members, { requiredKeys: required });
  const partial = fc.record<JsonObject, string>(members, { requiredKeys: [] });
  const odd = partial.map((input) => ({ ...input, nope: 1 }));
  return fc.oneof(
    { weight: 8, arbitrary: whole as fc.Arbitrary<JsonObject> },
    { weight: 1, arbitrary: partial as fc.Arbitrary<JsonObject> },
    { weight: 1, arbitrary: odd as fc.Arbitrary<JsonObject> },
  );
}

/** Whether the contract accepts it; rules across fields stand in x-rules, which JSON Schema does not know. */
function isAccepted({ method }: Operation, input: JsonObject): boolean {
  const { message, violations } = readMessage(method.input, input);
  if (violations.length > 0) return false;
  const result = validator.validate(method.input, message);
  if (result.kind === 'error') throw result.error;
  return result.kind === 'valid' || result.violations.every(({ field }) => field.length === 0);
}

for (const document of documents) {
  const operation = operations.find(({ tool }) => tool?.name === document.name)!;

  test(`${document.name}: schema and rules agree on random inputs`, () => {
    const accepts = ajv.compile(document.inputSchema);
    const counts = { valid: 0, invalid: 0 };
    fc.assert(
      fc.property(inputsFor(document), (input) => {
        const isValid = isAccepted(operation, input);
        assert.equal(accepts(input), isValid, JSON.stringify([input, accepts.errors]));
        counts[isValid ? 'valid' : 'invalid']++;
      }),
      { numRuns: RUNS },
    );
    assert.ok(counts.valid > 0 && counts.invalid > 0, JSON.stringify(counts));
  });

  test(`${document.name}: an answer with nothing set has the shape that is shown`, () => {
    const accepts = ajv.compile(document.outputSchema);
    const empty = restPrinter(operation.method.output)(readMessage(operation.method.output, {}).message);
    assert.ok(accepts(empty), JSON.stringify(accepts.errors));
  });
}

test('every tool of the contract is shown', () => {
  assert.deepEqual(
    documents.map(({ name }) => name),
    operations.map(({ tool }) => tool?.name),
  );
});
