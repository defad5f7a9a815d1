/**
 * What a caller gets who makes a mistake: every mistake told at once, in one form, and nothing changed.
 * Promise: each endpoint of the contract is tried against a real api; the log's head and every balance stay where they were.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { Job } from '@tallystick/sdk';
import { bookProblems, logHead, query } from './harness/books.ts';
import { type Endpoint, readEndpoints } from './harness/contract.ts';
import { SMALL } from './harness/lease.ts';
import { type Newcomer, newcomer } from './harness/newcomer.ts';
import { type Platform, startPlatform } from './harness/platform.ts';
import { until } from './harness/until.ts';

const DEPOSIT_MICROS = 1_000_000n;
const JSON_BODY_BYTES_MAX = 2 * 1024 * 1024;
const UNSAFE = '9007199254740993';
const REPEATS = 20;

interface Answer {
  status: number;
  headers: Headers;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every route
  json: any;
}

interface Sent {
  body?: string | Uint8Array;
  query?: string;
  headers?: Record<string, string | undefined>;
  path?: string;
}

const ADDRESS = `0x${'a'.repeat(40)}`;

/** Bodies that satisfy the contract, where an empty object does not. */
const VALID: Record<string, object> = {
  'POST /v1/jobs': { max_total_spend_micros: 10 },
  'POST /v1/jobs/{id}/extend': { add_ttl_ms: 1_000 },
  'POST /v1/sandboxes/{id}/extend': { add_ttl_ms: 1_000 },
  'POST /v1/sandboxes/{id}/exec': { argv: ['true'] },
  'POST /v1/sandboxes/{id}/execs/{exec_id}/signal': { signal: 'SIGTERM' },
  'POST /v1/sandboxes/{id}/execs/{exec_id}/resize': { columns: 80, rows: 24 },
  'POST /v1/sandboxes/{id}/files/mkdir': { path: 'a' },
  'POST /v1/sandboxes/{id}/files/move': { path: 'a', target: 'b' },
  'POST /v1/sandboxes/{id}/files/remove': { path: 'a' },
  'POST /v1/sandboxes/{id}/secrets': {
    incarnation: 1,
    sealing_key: `${'A'.repeat(43)}=`,
    secrets: [{ name: 'TOKEN', sealed: Buffer.alloc(88).toString('base64'), commitment: '0'.repeat(64) }],
  },
  'POST /v1/billing/development-deposits': { amount_micros: 1 },
  'POST /v1/billing/top-up': { amount_micros: 1 },
  'POST /v1/billing/wallet/development-funds': { amount_micros: 1 },
  'POST /v1/billing/withdrawals': { amount_micros: 1 },
  'POST /v1/billing/payout-addresses/nonce': { address: ADDRESS },
  'POST /v1/billing/payout-addresses': { address: ADDRESS, message: 'x', signature: '0x00', owner_signature: '0x00' },
};

const WORDS = ['type', 'title', 'detail', 'suggestion', 'trace_id'];

function assertProblem(answer: Answer, code: string, status: number): void {
  assert.deepEqual([answer.json.code, answer.status], [code, status], answer.text);
  assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/);
  assert.equal(answer.json.status, status);
  for (const word of WORDS) assert.ok(typeof answer.json[word] === 'string' && answer.json[word] !== '', word);
}

const told = (answer: Answer): string[] =>
  (answer.json.errors as { pointer: string; rule: string }[]).map(({ pointer, rule }) => `${pointer} ${rule}`);

describe('bad input is told and changes nothing', { concurrency: 1 }, () => {
  let platform: Platform;
  let owner: Newcomer;
  let job: Job;
  /** Keys that may do one thing each, so that one of them misses any scope. */
  let narrow: Newcomer[];
  let headBefore: bigint;

  before(async () => {
    platform = await startPlatform();
    owner = await newcomer(platform.url, { depositMicros: DEPOSIT_MICROS });
    narrow = [
      await newcomer(platform.url, { scopes: ['jobs:read'] }),
      await newcomer(platform.url, { scopes: ['billing:read'] }),
    ];
    job = await owner.tally.jobs.create({ maxTotalSpendMicros: 100_000n });
    headBefore = await logHead(platform.folder);
  });
  after(async () => {
    assert.deepEqual(await bookProblems(platform.folder), [], 'the books');
    await platform[Symbol.asyncDispose]();
  });

  async function send(endpoint: Pick<Endpoint, 'verb' | 'path'>, { body, query = '', headers = {}, path }: Sent) {
    const all: Record<string, string | undefined> = {
      authorization: `Bearer ${owner.key.secret}`,
      'idempotency-key': randomUUID(),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    };
    const given = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined);
    const response = await fetch(`${platform.url}${path ?? endpoint.path}${query}`, {
      method: endpoint.verb,
      headers: given,
      ...(body === undefined ? {} : { body: body as NonNullable<RequestInit['body']> }),
    });
    const text = await response.text();
    const isJson = (response.headers.get('content-type') ?? '').includes('json');
    const answer: Answer = { status: response.status, headers: response.headers, text, json: undefined };
    return { ...answer, json: isJson && text !== '' ? JSON.parse(text) : undefined };
  }

  /** What only operators may do is refused to a newcomer before anything of the request is read. */
  async function isRefusedByScope(endpoint: Endpoint): Promise<boolean> {
    if (endpoint.isPublic || endpoint.scopes.every((scope) => owner.key.scopes.includes(scope))) return false;
    const body = isJsonPost(endpoint) ? { body: '{"nope":1' } : {};
    assertProblem(await send(endpoint, body), 'scope_missing', 403);
    return true;
  }

  const endpoints = readEndpoints();
  const isJsonPost = (endpoint: Endpoint): boolean => endpoint.verb === 'POST' && !endpoint.isRawRequest;
  const validBody = (endpoint: Endpoint): string => JSON.stringify(VALID[endpoint.name] ?? {});

  describe('[I-31] each endpoint', { concurrency: 4 }, () => {
    for (const endpoint of endpoints.filter(({ isPublic }) => !isPublic))
      test(`[I-28] ${endpoint.name}: no credential, a wrong one, one without the scope`, async () => {
        const body = isJsonPost(endpoint) ? { body: validBody(endpoint) } : {};
        const without = await send(endpoint, { ...body, headers: { authorization: undefined } });
        assertProblem(without, 'credential_missing', 401);
        for (const authorization of ['Bearer x', `Bearer ${owner.key.secret}x`, `Basic ${owner.key.secret}`])
          assertProblem(await send(endpoint, { ...body, headers: { authorization } }), 'credential_refused', 401);
        const poor = narrow.find(({ key }) => !endpoint.scopes.every((scope) => key.scopes.includes(scope)))!;
        const refused = await send(endpoint, { ...body, headers: { authorization: `Bearer ${poor.key.secret}` } });
        assertProblem(refused, 'scope_missing', 403);
        assert.deepEqual(refused.json.missing, endpoint.scopes);
      });

    for (const endpoint of endpoints.filter(isJsonPost)) {
      const fields = endpoint.fields.filter(({ isInPath }) => !isInPath);
      test(`${endpoint.name}: unknown, repeated and mistyped members are all told at once`, async () => {
        if (await isRefusedByScope(endpoint)) return;
        const wrong = fields.filter(({ kind }) => kind !== 'map').map(({ name }) => `"${name}":{"x":[]}`);
        const answer = await send(endpoint, {
          body: `{${['"nope":1', '"twice":1', '"twice":2', ...wrong].join(',')}}`,
        });
        assertProblem(answer, 'invalid_request', 400);
        const rules = told(answer);
        for (const expected of ['/nope json.unknown', '/twice json.duplicate'])
          assert.ok(rules.includes(expected), `${expected} is not in ${rules}`);
        assert.equal(rules.filter((rule) => rule.endsWith('json.type')).length, wrong.length, rules.join());
      });
      test(`[I-13] ${endpoint.name}: numbers that JSON cannot carry, fractions, texts`, async () => {
        if (await isRefusedByScope(endpoint)) return;
        const numbers = fields.filter(({ kind }) => kind === 'int64' || kind === 'uint32');
        for (const value of [UNSAFE, '1.5', '"many"', '1e400']) {
          const body = `{${[...numbers.map(({ name }) => `"${name}":${value}`), '"nope":1'].join(',')}}`;
          const answer = await send(endpoint, { body });
          assertProblem(answer, 'invalid_request', 400);
          for (const { name } of numbers)
            assert.ok(
              told(answer).some((rule) => rule.startsWith(`/${name} `)),
              `${name}:${value}: ${told(answer)}`,
            );
        }
      });
      test(`${endpoint.name}: not JSON, not an object, another media type, too large`, async () => {
        if (await isRefusedByScope(endpoint)) return;
        for (const body of ['{', '[]', '"x"', 'null', '{} {}', '{"a":1,}', '\u0000'])
          assertProblem(await send(endpoint, { body }), 'invalid_request', 400);
        const other = await send(endpoint, {
          body: 'a=1',
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
        });
        assertProblem(other, 'invalid_request', 400);
        const large = await send(endpoint, { body: `{"x":"${'x'.repeat(JSON_BODY_BYTES_MAX)}"}` });
        assertProblem(large, 'body_too_large', 429);
      });
    }

    for (const endpoint of endpoints.filter(({ verb, isPublic }) => verb === 'POST' && !isPublic))
      test(`[I-15] ${endpoint.name}: no idempotency key, or one that is none`, async () => {
        if (await isRefusedByScope(endpoint)) return;
        const body = endpoint.isRawRequest
          ? {
              body: 'x',
              query: endpoint.fields.some(({ name }) => name === 'path') ? '?path=x' : '',
              headers: { 'content-type': 'application/octet-stream' },
            }
          : { body: validBody(endpoint) };
        for (const key of [undefined, 'a b', 'x'.repeat(256), 'ümlaut']) {
          const headers = { ...('headers' in body ? body.headers : {}), 'idempotency-key': key };
          assertProblem(await send(endpoint, { ...body, headers }), 'idempotency_key_missing', 400);
        }
      });

    for (const endpoint of endpoints.filter(({ verb, isRawRequest }) => verb === 'GET' || isRawRequest))
      test(`${endpoint.name}: unknown and repeated parameters, wrong types`, async () => {
        if (await isRefusedByScope(endpoint)) return;
        const numbers = endpoint.fields.filter(({ kind, isInPath }) => !isInPath && /int/.test(kind));
        const given = numbers.map(({ name }) => `${name}=many`);
        const answer = await send(endpoint, { query: `?${['nope=1', 'twice=1', 'twice=2', ...given].join('&')}` });
        assertProblem(answer, 'invalid_request', 400);
        assert.ok(
          told(answer).some((rule) => rule.startsWith('/nope ')),
          told(answer).join(),
        );
        for (const { name } of numbers)
          assert.ok(
            told(answer).some((rule) => rule.startsWith(`/${name} `)),
            told(answer).join(),
          );
      });

    for (const endpoint of endpoints.filter(({ template }) => template.includes('{')))
      test(`${endpoint.name}: an id that is none`, async () => {
        if (await isRefusedByScope(endpoint)) return;
        for (const id of ['x', 'job_1', '..%2f..%2fetc', '%00', 'a'.repeat(300)]) {
          const path = endpoint.template.replace(/\{[^}]+\}/g, id);
          const body = isJsonPost(endpoint) ? { body: validBody(endpoint) } : {};
          const answer = await send(endpoint, { path, ...body });
          assert.ok([400, 404].includes(answer.status), `${id}: ${answer.status} ${answer.text}`);
          assertProblem(answer, answer.json.code, answer.status);
        }
      });
  });

  test('what has no route is told as that', async () => {
    for (const [verb, path] of [
      ['GET', '/v1/nothing'],
      ['POST', '/v1/jobs/'],
      ['GET', '/v2/jobs'],
    ] as const)
      assertProblem(await send({ verb, path }, {}), 'route_not_found', 404);
  });

  test('[I-31] after all of this the log and every balance are where they were', async () => {
    assert.equal(await logHead(platform.folder), headBefore);
    const { balanceMicros, depositedMicros } = await owner.tally.balance();
    assert.deepEqual([balanceMicros, depositedMicros], [DEPOSIT_MICROS, DEPOSIT_MICROS]);
    assert.equal((await job.refresh()).remainingMicros, 100_000n);
  });

  test('[I-16] a key used again for another request is refused, names the first and changes nothing', async () => {
    const headers = { 'idempotency-key': randomUUID() };
    const jobs = { verb: 'POST', path: '/v1/jobs' } as const;
    const first = await send(jobs, { body: '{"max_total_spend_micros":11}', headers });
    assert.equal(first.status, 200, first.text);
    const head = await logHead(platform.folder);
    const other = await send(jobs, { body: '{"max_total_spend_micros":12}', headers });
    assertProblem(other, 'idempotency_key_reused', 409);
    assert.equal(other.json.first_receipt, first.json.receipt_id);
    const elsewhere = { verb: 'POST', path: `/v1/jobs/${job.id}/stop` } as const;
    assertProblem(await send(elsewhere, { body: '{}', headers }), 'idempotency_key_reused', 409);
    assert.equal(await logHead(platform.folder), head);
    const again = await send(jobs, { body: '{ "max_total_spend_micros": "11" }', headers });
    assert.equal(again.text, first.text, 'the same request in other words');
  });

  async function sendTogether(path: string, body: object): Promise<Answer[]> {
    const headers = { 'idempotency-key': randomUUID() };
    const text = JSON.stringify(body);
    return Promise.all(Array.from({ length: REPEATS }, () => send({ verb: 'POST', path }, { body: text, headers })));
  }

  function assertOnce(answers: Answer[]): Answer {
    for (const { status, text } of answers) assert.deepEqual([status, text], [200, answers[0]!.text]);
    const fresh = answers.filter(({ headers }) => headers.get('idempotent-replayed') !== 'true');
    assert.equal(fresh.length, 1, 'not exactly one of them did something');
    return answers[0]!;
  }

  test('[I-14] [I-15] the same request many times at once takes effect once, and every answer is the same bytes', async () => {
    const count = async (kind: string): Promise<bigint> => {
      const [row] = await query<{ n: bigint }>(
        platform.folder,
        'select count(*) as n from engine.stream_head where kind = $1',
        [kind],
      );
      return row!.n;
    };
    const [jobsBefore, { balanceMicros }] = [await count('job'), await owner.tally.balance()];
    assertOnce(await sendTogether('/v1/jobs', { max_total_spend_micros: 77, label: 'once' }));
    assert.equal(await count('job'), jobsBefore + 1n);
    const deposit = assertOnce(await sendTogether('/v1/billing/development-deposits', { amount_micros: 5 }));
    assert.equal((await owner.tally.balance()).balanceMicros, balanceMicros + 5n);
    assert.equal(deposit.json.balance_micros, Number(balanceMicros) + 5);
    const extended = assertOnce(await sendTogether(`/v1/jobs/${job.id}/extend`, { add_spend_micros: 1_000 }));
    assert.equal(extended.json.max_total_spend_micros, 101_000);
    assert.equal((await job.refresh()).maxTotalSpendMicros, 101_000n);
  });

  test('[I-15] a machine is bought once and a command runs once, however often they are asked for', async () => {
    const shape = { cpu_millis: SMALL.cpuMillis, ram_mib: SMALL.ramMib, disk_mib: SMALL.diskMib };
    const bought = assertOnce(await sendTogether(`/v1/jobs/${job.id}/sandboxes`, shape));
    const sandbox = owner.tally.sandboxes.attach(String(bought.json.id));
    await until('the job counts its machines', async () => (await job.refresh()).sandboxesRunning === 1);
    const runs = await sendTogether(`/v1/sandboxes/${sandbox.id}/exec`, { argv: ['sh', '-c', 'echo x >> runs'] });
    for (const { status, json } of runs) assert.deepEqual([status, json.exit_code], [200, 0]);
    assert.equal((await sandbox.exec(['cat', 'runs'])).stdout, 'x\n');
    await sandbox.destroy();
  });
});
