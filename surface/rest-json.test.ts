/** What REST accepts and prints, case by case. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { create, fromJson, toJson } from '@bufbuild/protobuf';
import { CreateSandboxRequestSchema, ExecSandboxRequestSchema, JobSchema } from '@tallystick/proto';
import fc from 'fast-check';
import { orderedBytes } from './fingerprint.ts';
import { readJsonText } from './json-reader.ts';
import { restPrinter } from './rest-json.ts';
import { startToy, type Toy } from './testing/toy-platform.ts';

let toy: Toy;
before(async () => {
  toy = await startToy();
});
after(() => toy.app.close());

const JOB = `job_${'0'.repeat(32)}`;
const SANDBOX = `sbx_${'0'.repeat(32)}`;

async function post(payload: string | Buffer | undefined, url = '/v1/jobs', contentType = 'application/json') {
  const headers = {
    authorization: 'Bearer key1',
    'idempotency-key': crypto.randomUUID(),
    ...(contentType ? { 'content-type': contentType } : {}),
  };
  const count = toy.seen.length;
  const response = await toy.app.inject({
    method: 'POST',
    url,
    headers,
    ...(payload === undefined ? {} : { payload }),
  });
  const body = response.json();
  if (response.statusCode !== 200) assert.equal(toy.seen.length, count, 'a refused request reached a handler');
  return { status: response.statusCode, body, request: toy.seen.at(-1)?.request as unknown as Record<string, unknown> };
}

const refusals: [
  name: string,
  body: string | Buffer | undefined,
  wanted: string,
  url?: string,
  contentType?: string,
][] = [
  ['fraction', '{"max_total_spend_micros":5.5}', '/max_total_spend_micros json.type'],
  ['beyond 2^53', '{"max_total_spend_micros":9007199254740993}', '/max_total_spend_micros json.int'],
  ['beyond int64', '{"max_total_spend_micros":"9223372036854775808"}', '/max_total_spend_micros json.type'],
  [
    'duplicate key',
    '{"max_total_spend_micros":1,"max_total_spend_micros":2}',
    '/max_total_spend_micros json.duplicate',
  ],
  ['both spellings', '{"max_total_spend_micros":1,"maxTotalSpendMicros":2}', '/maxTotalSpendMicros json.duplicate'],
  ['__proto__', '{"__proto__":{"x":1},"max_total_spend_micros":1}', '/__proto__ json.unknown'],
  [
    '__proto__ in a map',
    '{"argv":["a"],"env":{"__proto__":"x"}}',
    '/env/__proto__ json.type',
    `/v1/sandboxes/${SANDBOX}/exec`,
  ],
  ['array', '[]', ' json.type'],
  ['garbage', '{bad', ' json.syntax'],
  ['two values', '{} {}', ' json.syntax'],
  ['deep', `${'['.repeat(40)}`, ' json.syntax'],
  ['not UTF-8', Buffer.from([0x22, 0xff, 0x22]), ' json.utf8'],
  [
    'everything that is wrong, at once',
    '{"label":7,"label":"a","ttl_ms":"y","nope":1,"idle_timeout_ms":90071992547409931}',
    '/label json.duplicate,/idle_timeout_ms json.int,/ttl_ms json.type,/nope json.unknown,/max_total_spend_micros int64.gt_lte',
  ],
  ['list element', '{"argv":["a",1,"b",{}]}', '/argv/1 json.type,/argv/3 json.type', `/v1/sandboxes/${SANDBOX}/exec`],
  ['map value', '{"argv":["a"],"env":{"A":1,"B":"b"}}', '/env/A json.type', `/v1/sandboxes/${SANDBOX}/exec`],
  ['unknown enum word', '{"security_mode":"NOPE"}', '/security_mode json.type', `/v1/jobs/${JOB}/sandboxes`],
  ['rules', '{"max_total_spend_micros":-5,"ttl_ms":1}', '/max_total_spend_micros int64.gt_lte,/ttl_ms int64.gte_lte'],
  [
    'rule of a list element',
    `{"argv":["${'x'.repeat(10)}"],"env":{"0":"b"}}`,
    '/env/0 string.pattern',
    `/v1/sandboxes/${SANDBOX}/exec`,
  ],
  ['rule across fields', '{}', ' job.extend.something', `/v1/jobs/${JOB}/extend`],
  ['body contradicts path', `{"id":"job_${'1'.repeat(32)}"}`, '/id http.path', `/v1/jobs/${JOB}/stop`],
  ['query beside a body', '{}', '/x http.query', `/v1/jobs/${JOB}/stop?x=1`],
  ['form', 'a=b', ' http.content_type', '/v1/jobs', 'application/x-www-form-urlencoded'],
  ['bad id in the path', '{}', '/id string.pattern', '/v1/jobs/job_1/stop'],
];
for (const [name, body, wanted, url, contentType] of refusals)
  test(`refused: ${name}`, async () => {
    const { status, body: problem } = await post(body, url, contentType);
    assert.deepEqual([status, problem.code], [400, 'invalid_request']);
    assert.equal(
      problem.errors.map((error: { pointer: string; rule: string }) => `${error.pointer} ${error.rule}`).join(','),
      wanted,
    );
  });

const accepted: [
  name: string,
  body: string | undefined,
  field: string,
  wanted: unknown,
  url?: string,
  contentType?: string,
][] = [
  ['number', '{"max_total_spend_micros":5}', 'maxTotalSpendMicros', 5n],
  ['text integer', '{"max_total_spend_micros":"9007199254740991"}', 'maxTotalSpendMicros', 9007199254740991n],
  ['5e2', '{"max_total_spend_micros":5e2}', 'maxTotalSpendMicros', 500n],
  ['other spelling', '{"maxTotalSpendMicros":5}', 'maxTotalSpendMicros', 5n],
  ['null is absent', '{"max_total_spend_micros":5,"ttl_ms":null}', 'ttlMs', undefined],
  ['enum word', '{"security_mode":"standard"}', 'securityMode', 1, `/v1/jobs/${JOB}/sandboxes`],
  ['enum name', '{"security_mode":"SECURITY_MODE_STANDARD"}', 'securityMode', 1, `/v1/jobs/${JOB}/sandboxes`],
  ['path field', '{}', 'jobId', JOB, `/v1/jobs/${JOB}/sandboxes`],
  ['same field in body and path', `{"id":"${JOB}"}`, 'id', JOB, `/v1/jobs/${JOB}/stop`],
  ['empty body with a JSON type', '', 'id', JOB, `/v1/jobs/${JOB}/stop`],
  ['no body at all', undefined, 'id', JOB, `/v1/jobs/${JOB}/stop`, ''],
  ['escapes', '{"label":"\\u0041\\"\\\\","max_total_spend_micros":1}', 'label', 'A"\\'],
];
for (const [name, body, field, wanted, url, contentType] of accepted)
  test(`accepted: ${name}`, async () => {
    const { status, body: answer, request } = await post(body, url, contentType);
    assert.equal(status, 200, JSON.stringify(answer));
    assert.deepEqual(request[field], wanted);
  });

test('the JSON reader agrees with JSON.parse on every value', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value);
      const read = readJsonText(text);
      assert.deepEqual(JSON.parse(JSON.stringify(read.value)), JSON.parse(text));
    }),
  );
});

test('the JSON reader agrees with JSON.parse on what is not JSON', () => {
  const noise = fc.string({ unit: fc.constantFrom(...'{}[]",:0123.eE-+\\u tfn ') });
  fc.assert(
    fc.property(noise, (text) => {
      let isJson = true;
      try {
        JSON.parse(text);
      } catch {
        isJson = false;
      }
      assert.equal(readJsonText(text).value !== undefined, isJson, text);
    }),
    { numRuns: 2000 },
  );
});

test('what REST prints is valid ProtoJSON but for enum words, every field is printed, and money beyond 2^53-1 fails loudly', () => {
  const job = create(JobSchema, { id: 'x', spentMicros: 9007199254740991n, status: 1 });
  const printed = restPrinter(JobSchema)(job);
  assert.deepEqual(
    Object.keys(printed),
    JobSchema.fields.map((field) => field.name),
  );
  assert.deepEqual(
    [printed['spent_micros'], printed['status'], printed['created_at']],
    [Number.MAX_SAFE_INTEGER, 'active', null],
  );
  const canonical = fromJson(JobSchema, { ...printed, status: 'JOB_STATUS_ACTIVE' });
  assert.deepEqual(toJson(JobSchema, canonical), toJson(JobSchema, job));
  const tooMuch = create(JobSchema, { spentMicros: 9007199254740992n });
  assert.throws(() => restPrinter(JobSchema)(tooMuch), /INT64_STRING/);
});

test('ordered bytes do not depend on the order of map entries', () => {
  const left = create(ExecSandboxRequestSchema, { argv: ['a'], env: { a: '1', b: '2' } });
  const right = create(ExecSandboxRequestSchema, { argv: ['a'], env: { b: '2', a: '1' } });
  assert.deepEqual(orderedBytes(ExecSandboxRequestSchema, left), orderedBytes(ExecSandboxRequestSchema, right));
  assert.deepEqual(Object.keys(right.env), ['b', 'a'], 'the request itself is left alone');
  assert.equal(orderedBytes(CreateSandboxRequestSchema, create(CreateSandboxRequestSchema)).length, 0);
});
