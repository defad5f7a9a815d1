/**
 * Request bodies that are damaged, random or made to be expensive: TALLY_FUZZ_INPUTS of them, from TALLY_SEED.
 * Promise: a message or a refusal of bounded size, in bounded time; what was read is read the same when it is sent again.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Message } from '@bufbuild/protobuf';
import { fuzz, fuzzBudgetOf } from '@tallystick/kernel/fuzz';
import type { Operation, Route } from './contract.ts';
import { problemOf } from './problem.ts';
import { ApiRefusal, VIOLATIONS_MAX } from './refusal.ts';
import { readRequest } from './request-reader.ts';
import { restPrinter } from './rest-json.ts';
import { startToy, type Toy } from './testing/toy-platform.ts';

/** Of the whole answer, whatever was sent. */
const PROBLEM_CHARS_MAX = 512 * 1024;
const EXPENSIVE_MS_MAX = 2_000;
const BODY_BYTES = 1_000_000;

const BODIES = [
  '{"domain":"tally.example","address":"0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2","chain_id":1}',
  '{"label":"a job","max_total_spend_micros":500000,"ttl_ms":"3600000","idle_timeout_ms":null}',
  '{"argv":["sh","-c","echo 1"],"env":{"A":"b"},"stdin":"AAEC","timeout_ms":1000,"tty":{"columns":80,"rows":24}}',
  '{"image":"sandbox-base:v1.0.0","cpu_millis":1000,"ram_mib":512,"security_mode":"standard","quantum_ms":60000}',
  '{"amount_micros":"9007199254740991"}',
];

let toy: Toy;
let asked: { operation: Operation; route: Route; path: Record<string, string> }[];
before(async () => {
  toy = await startToy();
  asked = toy.dispatch.operations.flatMap((operation) =>
    operation.routes
      .filter(({ rest }) => rest === 'body')
      .map((route) => ({ operation, route, path: Object.fromEntries(route.pathFields.map((name) => [name, '1'])) })),
  );
});
after(() => toy[Symbol.asyncDispose]());

/** The message, or undefined after a refusal whose answer is small enough. */
function read(at: number, body: Uint8Array): { operation: Operation; message: Message } | undefined {
  const { operation, route, path } = asked[at % asked.length]!;
  const request = { path, query: new URLSearchParams(), body };
  try {
    const message = readRequest(operation, route, request, toy.dispatch.violationsIn);
    return toy.dispatch.violationsIn(operation, message).length === 0 ? { operation, message } : undefined;
  } catch (thrown) {
    assert.ok(thrown instanceof ApiRefusal, `threw ${String(thrown)}`);
    assert.ok(thrown.errors.length > 0 && thrown.errors.length <= VIOLATIONS_MAX);
    const { length } = JSON.stringify(problemOf(thrown, 'trace').body);
    assert.ok(length <= PROBLEM_CHARS_MAX, `an answer of ${length} characters`);
    return undefined;
  }
}

test('[I-31] fuzz: request bodies on every route', async (context) => {
  const budget = fuzzBudgetOf(process.env, Math.random());
  context.diagnostic(`${budget.inputs} inputs from seed ${budget.seed}`);
  await fuzz({
    ...budget,
    samples: BODIES.map((body) => Buffer.from(body)),
    cpuUsage: () => process.cpuUsage(),
    check(input, number) {
      const first = read(number, input);
      if (!first) return;
      const print = restPrinter(first.operation.method.input);
      const sent = JSON.stringify(print(first.message));
      const again = read(number, Buffer.from(sent));
      assert.ok(again, `refused what it had accepted: ${sent}`);
      assert.equal(JSON.stringify(print(again.message)), sent);
    },
  });
});

const repeated = (piece: string, separator = ','): string =>
  Array.from({ length: BODY_BYTES / (piece.length + 1) }, () => piece).join(separator);
const LONG_KEY = 'k'.repeat(BODY_BYTES / 2);

for (const [what, body] of [
  ['the same key again and again', `{${repeated('"a":1')}}`],
  ['unsafe integers below a very long key', `{"${LONG_KEY}":[${repeated('9007199254740993')}]}`],
  ['unknown fields', `{${Array.from({ length: 90_000 }, (_, at) => `"k${at}":1`).join(',')}}`],
  ['a list of wrong values', `{"argv":[${repeated('7')}],"env":[${repeated('7')}]}`],
  ['a map of wrong values', `{"env":{${Array.from({ length: 60_000 }, (_, at) => `"k${at}":[]`).join(',')}}}`],
  ['a long wrong word', `{"security_mode":"${LONG_KEY}","chain_id":"${LONG_KEY}"}`],
  ['a text of escapes', `{"label":"${repeated('\\u0041', '')}"}`],
  ['an open end', repeated('[', '')],
] as const)
  test(`[I-31] a body of a megabyte, ${what}, is answered in bounded time and size`, () => {
    const before = process.cpuUsage();
    for (const name of ['ExecSandbox', 'CreateNonce'])
      read(
        asked.findIndex(({ operation }) => operation.method.name === name),
        Buffer.from(body),
      );
    const tookMs = process.cpuUsage(before).user / 1_000;
    assert.ok(tookMs < EXPENSIVE_MS_MAX, `took ${Math.round(tookMs)} ms`);
  });
