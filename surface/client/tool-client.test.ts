/** Calls by tool name: values as on REST in and out, over a toy platform. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { JsonObject } from '@tallystick/kernel';
import { ALL_SERVICES } from '../derive/services.ts';
import { startToy, type Toy } from '../testing/toy-platform.ts';
import { ApiError } from './api-error.ts';
import { createToolClient } from './tool-client.ts';

const JOB = `job_${'0'.repeat(32)}`;
let toy: Toy;
before(async () => {
  toy = await startToy({ listen: true });
});
after(() => toy[Symbol.asyncDispose]());

const call = (name: string, input: JsonObject, idempotencyKey?: string): Promise<JsonObject> =>
  createToolClient(ALL_SERVICES, { baseUrl: toy.url, token: 'key', attemptsMax: 1 }).call(
    name,
    input,
    idempotencyKey === undefined ? {} : { idempotencyKey },
  );

const pointersOf = ({ problem }: ApiError): unknown[] =>
  (problem['errors'] as { pointer: string }[]).map(({ pointer }) => pointer);

test('a tool is called by its name, under the key that was given', async () => {
  toy.answers.set('ExtendJob', () => ({ id: JOB, maxTotalSpendMicros: 12n }));
  const answer = await call('job_extend', { id: JOB, add_spend_micros: '7', add_ttl_ms: null }, 'mine');
  assert.deepEqual([answer['id'], answer['max_total_spend_micros'], answer['stopped_at']], [JOB, 12, null]);
  const seen = toy.seen.at(-1)!;
  assert.deepEqual([seen.method, seen.call.idempotencyKey], ['ExtendJob', 'mine']);
  assert.deepEqual((seen.request as unknown as { addSpendMicros: bigint }).addSpendMicros, 7n);
});

const refused: [name: string, tool: string, input: JsonObject, pointers: string[]][] = [
  [
    'an unknown member, and a number out of range',
    'job_create',
    { nope: 1, max_total_spend_micros: -1 },
    ['/nope', '/max_total_spend_micros'],
  ],
  ['a missing field of the path', 'job_get', {}, ['/id']],
  ['an empty field of the path', 'job_get', { id: '' }, ['/id']],
  ['a field of the path of another type is told once', 'job_get', { id: 7 }, ['/id']],
  ['everything at once', 'sandbox_exec', { argv: 'ls', nope: 1 }, ['/argv', '/nope', '/id']],
];
for (const [name, tool, input, pointers] of refused)
  test(`nothing is sent: ${name}`, async () => {
    const before = toy.seen.length;
    const fault = await call(tool, input).catch((thrown: unknown) => thrown);
    assert.ok(fault instanceof ApiError, String(fault));
    assert.deepEqual([fault.status, fault.code, pointersOf(fault)], [400, 'invalid_request', pointers]);
    assert.equal(toy.seen.length, before);
  });

test('what the platform refuses is told as it tells it', async () => {
  const fault = await call('job_create', { max_total_spend_micros: -1 }).catch((thrown: unknown) => thrown);
  assert.ok(fault instanceof ApiError && fault.problem.trace_id !== '');
  assert.deepEqual(pointersOf(fault), ['/max_total_spend_micros']);
});

test('there is no tool without a name, nor for bytes', async () => {
  for (const name of ['job_explode', 'undefined', '', 'sandbox_upload'])
    await assert.rejects(call(name, {}), /there is no tool/);
});
