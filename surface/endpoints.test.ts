/** Bad input at every endpoint, generated from the operations: a problem, and no handler runs. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type DescField, getOption } from '@bufbuild/protobuf';
import { field as fieldRulesOption } from '@bufbuild/protovalidate/gen/buf/validate/validate_pb.js';
import { ERROR_CATALOGUE, wireCode } from '@tallystick/proto';
import { type Operation, type Route, readOperations } from './contract.ts';
import { ALL_SERVICES } from './derive/services.ts';
import { isInt64 } from './rest-json.ts';
import { JSON_BODY_BYTES_MAX_TOY, RAW_BODY_BYTES_MAX_TOY, startToy, type Toy } from './testing/toy-platform.ts';

let toy: Toy;
before(async () => {
  toy = await startToy();
});
after(() => toy.app.close());

const HEX = '0'.repeat(32);

const ADDRESS = `0x${'a'.repeat(40)}`;

/** A value of a path field that satisfies its rule: a prefix and 32 hex digits, an address, or a number. */
function pathValue(operation: Operation, name: string): string {
  const field = operation.method.input.fields.find((candidate) => candidate.name === name)!;
  const { type } = getOption(field, fieldRulesOption);
  if (type.case === 'uint32') return '1';
  if (type.case === 'string' && type.value.pattern !== '' && new RegExp(type.value.pattern).test(ADDRESS))
    return ADDRESS;
  const prefix = type.case === 'string' ? /^\^([a-z]+_)/.exec(type.value.pattern)?.[1] : undefined;
  assert.ok(prefix, `${operation.name}: ${name} has no pattern`);
  return `${prefix}${HEX}`;
}

const pathOf = (operation: Operation, route: Route): string =>
  route.template.replace(/\{([^}]+)\}/g, (_, name: string) => pathValue(operation, name));

interface Sent {
  payload?: string | Buffer;
  query?: string;
  headers?: Record<string, string | undefined>;
}

async function send(operation: Operation, route: Route, { payload, query = '', headers = {} }: Sent) {
  const all: Record<string, string | undefined> = {
    authorization: 'Bearer key1',
    'idempotency-key': crypto.randomUUID(),
    ...(payload === undefined
      ? {}
      : { 'content-type': operation.rawRequest ? 'application/octet-stream' : 'application/json' }),
    ...headers,
  };
  const given = Object.fromEntries(
    Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  const count = toy.seen.length;
  const url = `${pathOf(operation, route)}${query}`;
  const response = await toy.app.inject({
    method: route.verb,
    url,
    headers: given,
    ...(payload === undefined ? {} : { payload }),
  });
  return { response, problem: response.json(), handled: toy.seen.length - count };
}

/** Every refusal looks like this. */
function assertRefused(sent: Awaited<ReturnType<typeof send>>, code: keyof typeof ERROR_CATALOGUE): void {
  const { response, problem, handled } = sent;
  assert.deepEqual(
    [problem.code, response.statusCode],
    [wireCode(code), ERROR_CATALOGUE[code].httpStatus],
    response.body,
  );
  assert.match(String(response.headers['content-type']), /^application\/problem\+json/);
  assert.equal(problem.status, response.statusCode);
  for (const member of ['type', 'title', 'detail', 'suggestion', 'trace_id'])
    assert.ok(typeof problem[member] === 'string' && problem[member] !== '', member);
  assert.equal(handled, 0, 'a handler ran');
}

const rulesOf = (problem: { errors: { pointer: string; rule: string }[] }): string[] =>
  problem.errors.map(({ pointer, rule }) => `${pointer} ${rule}`);

const isJsonBody = ({ rest }: Route): boolean => rest === 'body';
const isWholeNumber = (field: DescField): boolean => field.fieldKind === 'scalar' && isInt64(field.scalar);

const operations = readOperations(ALL_SERVICES);
const endpoints = operations.flatMap((operation) => operation.routes.map((route) => ({ operation, route })));

for (const { operation, route } of endpoints) {
  const name = `${route.verb} ${route.template}`;
  const others = operation.method.input.fields.filter((field) => !route.pathFields.includes(field.name));
  const mutates = !operation.isReadOnly && !operation.isPublic;

  if (isJsonBody(route)) {
    test(`${name}: unknown, duplicate and mistyped fields are all told at once`, async () => {
      const wrong = others
        .filter((field) => field.fieldKind !== 'map')
        .map((field) => `"${field.name}":${field.fieldKind === 'message' ? 7 : '{"x":[]}'}`);
      const payload = `{"nope":1,"nope2":1,"nope2":2,${wrong.join(',')}${wrong.length > 0 ? ',' : ''}"last":{}}`;
      const sent = await send(operation, route, { payload });
      assertRefused(sent, 'INVALID_REQUEST');
      const told = rulesOf(sent.problem);
      for (const wanted of ['/nope json.unknown', '/nope2 json.duplicate', '/last json.unknown'])
        assert.ok(told.includes(wanted), told.join());
      assert.equal(told.filter((rule) => rule.endsWith('json.type')).length, wrong.length, told.join());
    });
    test(`${name}: unsafe integers`, async () => {
      const fields = others.filter(isWholeNumber);
      const payload = `{${[...fields.map((field) => field.name), 'nope'].map((field) => `"${field}":9007199254740993`).join(',')}}`;
      const sent = await send(operation, route, { payload });
      assertRefused(sent, 'INVALID_REQUEST');
      for (const field of fields) assert.ok(rulesOf(sent.problem).includes(`/${field.name} json.int`));
    });
    test(`${name}: an oversized body`, async () => {
      const sent = await send(operation, route, { payload: `{"x":"${'x'.repeat(JSON_BODY_BYTES_MAX_TOY)}"}` });
      assertRefused(sent, 'BODY_TOO_LARGE');
      assert.equal(sent.problem.cap_bytes, JSON_BODY_BYTES_MAX_TOY);
      assert.equal(sent.response.headers['retry-after'], undefined);
    });
    test(`${name}: not JSON, not an object, not the media type`, async () => {
      for (const payload of ['{', '[]', '"x"', '1 2'])
        assertRefused(await send(operation, route, { payload }), 'INVALID_REQUEST');
      const headers = { 'content-type': 'text/plain' };
      assertRefused(await send(operation, route, { payload: 'x', headers }), 'INVALID_REQUEST');
    });
  } else {
    test(`${name}: unknown, repeated and mistyped query parameters are all told at once`, async () => {
      const numbers = others.filter(isWholeNumber);
      const query = `?nope=1&${numbers.map((field) => `${field.name}=x`).join('&')}`;
      const sent = await send(operation, route, { query });
      assertRefused(sent, 'INVALID_REQUEST');
      const wanted = ['/nope http.query', ...numbers.map((field) => `/${field.name} json.type`)];
      const told = rulesOf(sent.problem).filter((rule) => / (http|json)\./.test(rule));
      assert.deepEqual(told.sort(), wanted.sort());
      const single = others.find((field) => field.fieldKind === 'scalar');
      if (!single) return;
      const twice = await send(operation, route, { query: `?${single.name}=1&${single.name}=2` });
      assertRefused(twice, 'INVALID_REQUEST');
    });
  }

  for (const field of route.pathFields)
    test(`${name}: ${field} in the path that is no id`, async () => {
      const bad: Route = { ...route, template: route.template.replace(`{${field}}`, 'BAD%2F..') };
      const sent = await send(operation, bad, {});
      assertRefused(sent, 'INVALID_REQUEST');
      assert.ok(rulesOf(sent.problem).some((rule) => rule.startsWith(`/${field} `)));
      const long: Route = { ...route, template: route.template.replace(`{${field}}`, 'x'.repeat(300)) };
      assertRefused(await send(operation, long, {}), 'ROUTE_NOT_FOUND');
    });

  if (!operation.isPublic)
    test(`${name}: no, unknown, malformed or too weak credentials, whatever the body`, async () => {
      const payload = isJsonBody(route) ? '{"nope":1' : undefined;
      const body = payload === undefined ? {} : { payload };
      const none = await send(operation, route, { ...body, headers: { authorization: undefined } });
      assertRefused(none, 'CREDENTIAL_MISSING');
      assert.equal(none.response.headers['www-authenticate'], 'Bearer');
      for (const authorization of ['Bearer nobody', 'Basic a2V5', 'Bearer ', 'key1', 'Bearer key1 key2'])
        assertRefused(await send(operation, route, { ...body, headers: { authorization } }), 'CREDENTIAL_REFUSED');
      const weak = await send(operation, route, { ...body, headers: { authorization: 'Bearer key1,other:scope' } });
      assertRefused(weak, 'SCOPE_MISSING');
      assert.deepEqual(weak.problem.missing, [...operation.scopes]);
    });

  if (mutates)
    test(`${name}: a missing or malformed Idempotency-Key`, async () => {
      const valid = validRequest(operation, route);
      for (const key of [undefined, '', 'with space', 'x'.repeat(256), 'ü'])
        assertRefused(
          await send(operation, route, { ...valid, headers: { 'idempotency-key': key } }),
          'IDEMPOTENCY_KEY_MISSING',
        );
    });

  test(`${name}: a valid request reaches its handler, once`, async () => {
    const { response, handled } = await sendValid(operation, route);
    assert.deepEqual([response.statusCode, handled], [200, 1], response.body);
    assert.equal(response.headers['cache-control'], 'no-store');
    const { call } = toy.seen.at(-1)!;
    assert.match(call.fingerprint, /^[0-9a-f]{64}$/);
    assert.equal(call.principal?.id, operation.isPublic ? undefined : 'key1');
    assert.equal(call.remoteIsLoopback, true);
    assert.equal(call.requestId, response.headers['trace-id']);
  });
}

test('a payment reaches the handler as it was sent, and is refused when it is longer than any is', async () => {
  const operation = operations.find(({ name }) => name.endsWith('.TopUp'))!;
  const route = operation.routes[0]!;
  const sendWith = (payment: string) =>
    send(operation, route, { payload: '{"amount_micros":1}', headers: { 'payment-signature': payment } });
  let heard: string | undefined;
  toy.answers.set('TopUp', (_request, call) => {
    heard = call.paymentSignature;
    return {};
  });
  try {
    await sendWith('abc=');
    assert.equal(heard, 'abc=');
    const { response, problem } = await sendWith('a'.repeat(8 * 1024 + 1));
    assert.deepEqual([response.statusCode, rulesOf(problem)], [400, [' http.payment_signature']]);
  } finally {
    toy.answers.delete('TopUp');
  }
});

const PRINCIPAL = `eip155:1:0x${'a'.repeat(40)}`;
const VALID_BODIES: Readonly<Record<string, object>> = {
  ContributeFunds: { amount_micros: 1, reason: 'because' },
  WriteOffFunds: { amount_micros: 1, reason: 'because' },
  RescanDeposits: { from_block: 1, reason: 'because' },
  CreateNonce: { address: `0x${'a'.repeat(40)}` },
  VerifyLogin: { message: 'm', signature: '0xab' },
  CreateDevelopmentDeposit: { amount_micros: 1 },
  TopUp: { amount_micros: 1 },
  CreateWithdrawal: { amount_micros: 1 },
  CreatePayoutNonce: { address: ADDRESS },
  CreatePayoutAddress: { address: ADDRESS, message: 'm', signature: '0xab', owner_signature: '0xab' },
  FundWallet: { amount_micros: 1 },
  CreateJob: { max_total_spend_micros: 1 },
  ExtendJob: { add_ttl_ms: 1 },
  ExtendSandbox: { add_ttl_ms: 1 },
  ExecSandbox: { argv: ['true'] },
  SignalExec: { signal: 'SIGTERM' },
  ResizeExec: { columns: 80, rows: 24 },
  MakeDirectory: { path: 'a' },
  MovePath: { path: 'a', target: 'b' },
  RemovePath: { path: 'a' },
  ReleaseSecrets: {
    incarnation: 1,
    sealing_key: `${'A'.repeat(43)}=`,
    secrets: [{ name: 'TOKEN', sealed: 'A'.repeat(120), commitment: 'a'.repeat(64) }],
  },
  SetTier: { principal: PRINCIPAL, tier: 'trusted', reason: 'x' },
  Suspend: { principal: PRINCIPAL, reason: 'x' },
  Reinstate: { principal: PRINCIPAL, reason: 'x' },
  DrainProvider: { provider: 'local', reason: 'x' },
  ResumeProvider: { provider: 'local', reason: 'x' },
  KillProvider: { provider: 'local', reason: 'x' },
};
const VALID_QUERIES: Readonly<Record<string, string>> = {
  GetStanding: `?principal=${PRINCIPAL}`,
  UploadFile: '?path=a',
  DownloadFile: '?path=a',
  StatPath: '?path=a',
};

function validRequest(operation: Operation, route: Route): Sent {
  if (operation.rawRequest) return { payload: 'bytes', query: VALID_QUERIES[operation.method.name] ?? '' };
  if (!isJsonBody(route)) return { query: VALID_QUERIES[operation.method.name] ?? '' };
  return { payload: JSON.stringify(VALID_BODIES[operation.method.name] ?? {}) };
}

async function sendValid(operation: Operation, route: Route) {
  const { payload, query = '' } = validRequest(operation, route);
  const count = toy.seen.length;
  const headers = {
    authorization: 'Bearer key1',
    'idempotency-key': crypto.randomUUID(),
    ...(payload === undefined
      ? {}
      : { 'content-type': operation.rawRequest ? 'application/octet-stream' : 'application/json' }),
  };
  const url = `${pathOf(operation, route)}${query}`;
  const response = await toy.app.inject({
    method: route.verb,
    url,
    headers,
    ...(payload === undefined ? {} : { payload }),
  });
  return { response, handled: toy.seen.length - count };
}

test('a key used with another request is a conflict that names the first; the same request is replayed', async () => {
  const { operation, route } = endpoints.find((endpoint) => endpoint.operation.method.name === 'CreateJob')!;
  const headers = { 'idempotency-key': 'one-key' };
  const first = await send(operation, route, { payload: '{"max_total_spend_micros":5,"label":"x"}', headers });
  const again = await send(operation, route, { payload: '{ "label":"x", "maxTotalSpendMicros":"5" }', headers });
  assert.deepEqual([first.response.statusCode, again.response.statusCode], [200, 200]);
  assert.equal(first.response.headers['idempotent-replayed'], undefined);
  assert.equal(again.response.headers['idempotent-replayed'], 'true');
  const other = await send(operation, route, { payload: '{"max_total_spend_micros":6,"label":"x"}', headers });
  assert.deepEqual(
    [other.response.statusCode, other.problem.code, other.problem.first_receipt],
    [409, 'idempotency_key_reused', 'rcp_1'],
  );
});

test('raw bytes pass in both directions, and a body beyond the limit is refused in words', async () => {
  const upload = endpoints.find((endpoint) => endpoint.operation.method.name === 'UploadFile')!;
  const query = '?path=a&unpack=true';
  await send(upload.operation, upload.route, {
    payload: Buffer.from([0, 255, 1]),
    query,
    headers: { 'content-type': 'application/x-tar' },
  });
  assert.equal(toy.seen.at(-1)!.body, Buffer.from([0, 255, 1]).toString());
  const { response, problem } = await send(upload.operation, upload.route, {
    payload: Buffer.alloc(RAW_BODY_BYTES_MAX_TOY + 1),
    query,
  });
  assert.deepEqual([response.statusCode, problem.cap_bytes], [429, RAW_BODY_BYTES_MAX_TOY]);
  const download = endpoints.find((endpoint) => endpoint.operation.method.name === 'DownloadFile')!;
  const { response: bytes } = await sendValid(download.operation, download.route);
  assert.deepEqual([bytes.body, bytes.headers['content-type']], ['raw bytes', 'application/octet-stream']);
});

test('HEAD of raw bytes tells the headers and reads nothing', async () => {
  let isRead = false;
  const endless = async function* () {
    for (;;) {
      isRead = true;
      yield Buffer.from('x');
    }
  };
  toy.answers.set('DownloadFile', () => ({ stream: endless(), headers: { 'x-file-bytes': '6' } }));
  const url = `/v1/sandboxes/sbx_${HEX}/download?path=a`;
  const response = await toy.app.inject({ method: 'HEAD', url, headers: { authorization: 'Bearer key1' } });
  toy.answers.clear();
  assert.deepEqual(
    [response.statusCode, response.headers['x-file-bytes'], response.body, isRead],
    [200, '6', '', false],
  );
});

test('an unexpected exception is INTERNAL with a trace id, and only the log knows more', async () => {
  toy.answers.set('GetBalance', () => {
    throw new Error('secret detail');
  });
  const traceId = 'a'.repeat(32);
  const headers = { authorization: 'Bearer key1', traceparent: `00-${traceId}-${'b'.repeat(16)}-01` };
  const response = await toy.app.inject({ url: '/v1/billing/balance', headers });
  toy.answers.clear();
  assert.equal(response.statusCode, 500);
  assert.deepEqual([response.json().code, response.json().trace_id], ['internal', traceId]);
  assert.ok(!response.body.includes('secret'));
  assert.match(String(toy.faults.pop()), /secret detail/);
});

const VIOLATIONS: [what: string, operation: RegExp, payload: object, wanted: string[]][] = [
  ['an unknown field and a missing one', /CreateNonce$/, { addresss: '0x1' }, ['/addresss', '/address']],
  ['an unknown field and a wrong one', /CreateNonce$/, { address: 'x', more: 1 }, ['/more', '/address']],
  ['a mistyped field is told once', /CreateNonce$/, { address: 7 }, ['/address']],
  [
    'unknown, mistyped and out of range',
    /CreateSandbox$/,
    { x: 1, ram_mib: 'y', cpu_millis: 1 },
    ['/x', '/ram_mib', '/cpu_millis'],
  ],
];

for (const [what, name, payload, wanted] of VIOLATIONS)
  test(`every violation is told at once: ${what}`, async () => {
    const operation = toy.dispatch.operations.find((candidate) => name.test(candidate.name))!;
    const sent = await send(operation, operation.routes[0]!, { payload: JSON.stringify(payload) });
    assertRefused(sent, 'INVALID_REQUEST');
    assert.deepEqual(sent.problem.errors.map(({ pointer }: { pointer: string }) => pointer).sort(), [...wanted].sort());
  });

test('HEAD and OPTIONS answer without a body; unknown routes and verbs are problems', async () => {
  const headers = { authorization: 'Bearer key1' };
  const head = await toy.app.inject({ method: 'HEAD', url: '/v1/billing/balance', headers });
  assert.deepEqual([head.statusCode, head.body], [200, '']);
  const options = await toy.app.inject({ method: 'OPTIONS', url: '/v1/jobs' });
  assert.deepEqual([options.statusCode, options.headers['allow']], [204, 'GET, HEAD, OPTIONS, POST']);
  assert.equal(options.headers['access-control-allow-origin'], undefined);
  for (const [method, url] of [
    ['GET', '/v1/nope?token=query-text'],
    ['DELETE', '/v1/jobs'],
    ['GET', '/v1/jobs/%zz'],
    ['GET', '/'],
  ] as const) {
    const response = await toy.app.inject({ method, url });
    assert.deepEqual([response.statusCode, response.json().code], [404, 'route_not_found'], url);
    assert.ok(!response.body.includes('query-text'), 'the query is not repeated');
  }
});
