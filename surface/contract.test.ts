/** The contract as a whole: what boots, what is derived from it, and that all of it is up to date. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  create,
  createFileRegistry,
  type DescMessage,
  type DescService,
  fromBinary,
  setExtension,
} from '@bufbuild/protobuf';
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  MethodOptions_IdempotencyLevel as Level,
  type MethodOptions,
  MethodOptionsSchema,
} from '@bufbuild/protobuf/wkt';
import { createValidator } from '@bufbuild/protovalidate';
import { Validator } from '@seriousme/openapi-schema-validator';
import type { JsonObject } from '@tallystick/kernel';
import * as contracts from '@tallystick/proto';
import {
  authOption,
  CreateJobRequestSchema,
  CreateSandboxRequestSchema,
  ExecSandboxRequestSchema,
  toolOption,
} from '@tallystick/proto';
import openapi from '@tallystick/proto/derived/openapi.json' with { type: 'json' };
import { http } from '@tallystick/proto/gen/google/api/annotations_pb.ts';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { readOperations } from './contract.ts';
import { contractLock, scopesByMethod } from './derive/documents.ts';
import { ALL_SERVICES } from './derive/services.ts';
import { inlineSchema } from './json-schema.ts';
import { readMessage } from './message-reader.ts';
import { registerOpenapi } from './register-openapi.ts';
import { startToy } from './testing/toy-platform.ts';

const derived = (name: string): string => readFileSync(new URL(`../proto/derived/${name}`, import.meta.url), 'utf8');
const operations = readOperations(ALL_SERVICES);

interface MethodSketch {
  name?: string;
  streaming?: boolean;
  options?: (options: MethodOptions) => void;
}

/** A service of one-field messages with these methods. */
function serviceOf(...methods: MethodSketch[]): DescService {
  const file = create(FileDescriptorProtoSchema, {
    name: 'toy.proto',
    package: 'toy',
    syntax: 'proto3',
    messageType: [
      {
        name: 'Thing',
        field: [
          { name: 'id', number: 1, type: 9, label: 1, jsonName: 'id' },
          { name: 'tags', number: 2, type: 9, label: 3, jsonName: 'tags' },
        ],
      },
    ],
    service: [
      {
        name: 'ThingService',
        method: methods.map(({ name = 'Get', streaming = false, options }) => {
          const made = create(MethodOptionsSchema);
          options?.(made);
          return { name, inputType: '.toy.Thing', outputType: '.toy.Thing', serverStreaming: streaming, options: made };
        }),
      },
    ],
  });
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));
  return registry.getService('toy.ThingService')!;
}

type HttpSketch = { get?: string; post?: string; body?: string; responseBody?: string };

/** A public read at the given route, unless told otherwise. */
const options =
  (
    { get, post, body = '', responseBody = '' }: HttpSketch,
    level: Level = Level.NO_SIDE_EFFECTS,
    auth: object = { public: true },
    tool = '',
  ) =>
  (made: MethodOptions): void => {
    const pattern =
      post === undefined ? { case: 'get' as const, value: get ?? '/v1/x' } : { case: 'post' as const, value: post };
    setExtension(made, http, {
      $typeName: 'google.api.HttpRule',
      selector: '',
      body,
      responseBody,
      additionalBindings: [],
      pattern,
    });
    setExtension(made, authOption, { $typeName: 'tallystick.options.v1.Auth', public: false, scopes: [], ...auth });
    if (tool)
      setExtension(made, toolOption, { $typeName: 'tallystick.options.v1.Tool', name: tool, destructive: false });
    made.idempotencyLevel = level;
  };

const unservable: [name: string, methods: MethodSketch[], message: RegExp][] = [
  ['no auth', [{}], /no auth option/],
  ['neither public nor scoped', [{ options: options({}, Level.NO_SIDE_EFFECTS, {}) }], /public or name scopes/],
  [
    'public and scoped',
    [{ options: options({}, Level.NO_SIDE_EFFECTS, { public: true, scopes: ['a:b'] }) }],
    /public or name scopes/,
  ],
  ['streaming', [{ streaming: true, options: options({}) }], /streaming/],
  [
    'two methods on one route, whatever the variable is called',
    [
      { name: 'A', options: options({ get: '/v1/{id}' }) },
      { name: 'B', options: options({ get: '/v1/{tags}' }) },
    ],
    /tags|declared by/,
  ],
  [
    'one route twice',
    [
      { name: 'A', options: options({}) },
      { name: 'B', options: options({}) },
    ],
    /declared by toy.ThingService.A and by/,
  ],
  [
    'one tool twice',
    [
      { name: 'A', options: options({ get: '/v1/a' }, Level.NO_SIDE_EFFECTS, { public: true }, 'x_y') },
      { name: 'B', options: options({ get: '/v1/b' }, Level.NO_SIDE_EFFECTS, { public: true }, 'x_y') },
    ],
    /tool x_y/,
  ],
  ['a path variable that is no field', [{ options: options({ get: '/v1/{nope}' }) }], /not a scalar field/],
  ['a path variable that is a list', [{ options: options({ get: '/v1/{tags}' }) }], /not a scalar field/],
  ['a wildcard', [{ options: options({ get: '/v1/{id=things/*}' }) }], /only literal and/],
  ['a verb in the path', [{ options: options({ get: '/v1/{id}:stop' }) }], /only literal and/],
  ['GET that changes something', [{ options: options({}, Level.IDEMPOTENCY_UNKNOWN) }], /disagree/],
  ['POST that changes nothing', [{ options: options({ post: '/v1/x', body: '*' }) }], /disagree/],
  ['GET with a body', [{ options: options({ body: '*' }) }], /does not go with/],
  [
    'one field as the body',
    [{ options: options({ post: '/v1/x', body: 'id' }, Level.IDEMPOTENCY_UNKNOWN) }],
    /body must be/,
  ],
  ['one field as the answer', [{ options: options({ responseBody: 'id' }) }], /response_body/],
];
for (const [name, methods, message] of unservable)
  test(`does not boot: ${name}`, () => {
    assert.throws(() => readOperations([serviceOf(...methods)]), message);
  });

test('every service of the contracts is served and documented', () => {
  const services = Object.values(contracts).filter(
    (value) => typeof value === 'object' && 'kind' in value && value.kind === 'service',
  );
  assert.deepEqual(new Set(ALL_SERVICES), new Set(services));
});

test('the route table of the server equals contract.lock', async () => {
  await using toy = await startToy();
  const served = toy.dispatch.operations.flatMap((operation) =>
    operation.routes.map((route) => `route ${route.verb} ${route.template} -> ${operation.name}`),
  );
  const locked = derived('contract.lock')
    .split('\n')
    .filter((line) => line.startsWith('route '));
  assert.deepEqual(served.sort(), locked);
  for (const line of locked) {
    const [, method, template = ''] = line.split(' ');
    assert.ok(toy.app.hasRoute({ method: method as 'GET', url: template.replace(/\{([^}]+)\}/g, ':$1') }), line);
  }
  const table = toy.app.printRoutes({ commonPrefix: false, includeMeta: false });
  const verbs = [...table.matchAll(/\(([A-Z, ]+)\)/g)].flatMap((match) => match[1]!.split(', '));
  assert.equal(verbs.filter((verb) => verb !== 'HEAD' && verb !== 'OPTIONS').length, locked.length);
});

test('contract.lock and the methods-by-scopes table are up to date', () => {
  assert.equal(contractLock(operations), derived('contract.lock'));
  const golden = readFileSync(new URL('../proto/vectors/scopes-by-method.txt', import.meta.url), 'utf8');
  assert.equal(scopesByMethod(operations), golden);
});

test('the OpenAPI document is valid OpenAPI 3.1 and is what is served', async () => {
  const result = await new Validator().validate(structuredClone(openapi));
  assert.deepEqual(result.errors, undefined);
  assert.equal(result.valid, true);
  await using toy = await startToy({
    describe: (app, dispatch) => registerOpenapi(app, dispatch, { title: 'Tallystick', version: 'v1' }),
  });
  const served = (await toy.app.inject('/openapi.json')).json();
  assert.deepEqual([served.paths, served.components], [openapi.paths, openapi.components]);
  const page = await toy.app.inject('/docs');
  assert.match(page.body, /POST \/v1\/jobs\/\{job_id\}\/sandboxes/);
  assert.doesNotMatch(page.body, /<script|https?:/);
});

test('no field that carries a secret can stand in a URL', () => {
  const isSecret = /secret|token$|password|private/;
  for (const { method, routes } of operations)
    for (const field of method.input.fields)
      if (isSecret.test(field.name) && field.name !== 'page_token')
        assert.ok(
          routes.every((route) => route.rest === 'body' && !route.pathFields.includes(field.name)),
          field.name,
        );
});

test('JSON Schema and the rules agree on random requests', () => {
  const ajv = new Ajv2020({ strict: false, formats: { int32: true, int64: true } });
  const validator = createValidator();
  const id = fc.constantFrom(`job_${'0'.repeat(32)}`, `sbx_${'0'.repeat(32)}`, '', 'x');
  const amount = fc.constantFrom(0, 1, -1, 1000, 999, 60_000, 60_001, Number.MAX_SAFE_INTEGER);
  const requests = [
    [
      CreateJobRequestSchema,
      {
        label: fc.string({ maxLength: 140 }),
        max_total_spend_micros: amount,
        ttl_ms: amount,
        sandboxes_max: fc.nat(20_000),
      },
    ],
    [
      CreateSandboxRequestSchema,
      {
        job_id: id,
        image: fc.constantFrom('', 'a:v1.2.3', 'a:latest'),
        security_mode: fc.constantFrom('unspecified', 'standard', 'confidential'),
        cpu_millis: fc.nat(100_000),
        quantum_ms: amount,
      },
    ],
    [
      ExecSandboxRequestSchema,
      {
        id,
        argv: fc.array(fc.string({ maxLength: 5 }), { maxLength: 3 }),
        env: fc.dictionary(fc.constantFrom('A', '1', 'a_b'), fc.string({ maxLength: 5 })),
        exec_id: fc.constantFrom('', 'exec_1', `exec_${'0'.repeat(32)}`),
        wait_ms: amount,
      },
    ],
  ] as const;
  const counts = { valid: 0, invalid: 0 };
  for (const [type, fields] of requests) {
    const accepts = ajv.compile(inlineSchema(type, 'request', () => undefined));
    fc.assert(
      fc.property(
        fc.record(fields as Record<string, fc.Arbitrary<string | number>>, { requiredKeys: [] }),
        (request) => {
          const { message, violations } = readMessage(type, request as JsonObject);
          assert.deepEqual(violations, []);
          const isValid = validator.validate(type as DescMessage, message).kind === 'valid';
          assert.equal(accepts(request), isValid, JSON.stringify([request, accepts.errors]));
          counts[isValid ? 'valid' : 'invalid']++;
        },
      ),
      { numRuns: 300 },
    );
  }
  assert.ok(counts.valid > 20 && counts.invalid > 200, JSON.stringify(counts));
});

test('the baseline that `buf breaking` compares with can be read', () => {
  const image = fromBinary(
    FileDescriptorSetSchema,
    readFileSync(new URL('../proto/derived/baseline.binpb', import.meta.url)),
  );
  assert.ok(image.file.some((file) => file.name === 'tallystick/errors/v1/errors.proto'));
});
