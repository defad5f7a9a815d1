/** The error catalogue in proto, TypeScript, JSON and docs; and what a problem looks like. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { getOption } from '@bufbuild/protobuf';
import {
  codeFromWire,
  ERROR_CATALOGUE,
  type ErrorCodeName,
  ErrorCodeSchema,
  FamilySchema,
  isErrorCode,
  ruleOption,
  wireCode,
} from '@tallystick/proto';
import docs from '@tallystick/proto/derived/docs.json' with { type: 'json' };
import errors from '@tallystick/proto/derived/errors.json' with { type: 'json' };
import { problemOf, problemOfThrown } from './problem.ts';
import { pointerTo, refuse, refuseInvalid } from './refusal.ts';

const codes = Object.keys(ERROR_CATALOGUE) as ErrorCodeName[];
const inProto = ErrorCodeSchema.values.filter((value) => value.number !== 0);

test('proto, TypeScript, JSON and docs hold the same codes, in both directions', () => {
  const names = inProto.map((value) => value.name.replace('ERROR_CODE_', ''));
  const page = readFileSync(new URL('../docs/reference/errors.md', import.meta.url), 'utf8');
  const onPage = [...page.matchAll(/^\| `([a-z0-9_]+)` \|/gm)].map((match) => match[1]);
  assert.deepEqual(codes, names);
  assert.deepEqual(
    Object.keys(errors),
    names.map((name) => name.toLowerCase()),
  );
  assert.deepEqual(
    onPage,
    names.map((name) => name.toLowerCase()),
  );
});

test('every entry says what its proto rule says, with the status its family is documented with', () => {
  const comments: Readonly<Record<string, string>> = docs;
  for (const value of inProto) {
    const rule = getOption(value, ruleOption);
    const family = FamilySchema.value[rule.family]!;
    const entry = ERROR_CATALOGUE[value.name.replace('ERROR_CODE_', '') as ErrorCodeName];
    assert.deepEqual([entry.sentence, entry.suggestion, entry.facts], [rule.sentence, rule.suggestion, rule.facts]);
    assert.equal(`FAMILY_${entry.family}`, family.name);
    assert.match(
      comments[`tallystick.errors.v1.Family.${family.name}`] ?? '',
      new RegExp(`^HTTP ${entry.httpStatus}:`),
    );
    assert.match(entry.sentence, /^[A-Z].*\.$/);
    assert.match(entry.suggestion, /^[A-Z].*\.$/);
  }
});

test('codes are spelled in lower case on the wire and come back', () => {
  for (const code of codes) assert.equal(codeFromWire(wireCode(code)), code);
  assert.deepEqual(
    [codeFromWire('NOT_FOUND'), codeFromWire('nope'), isErrorCode('toString')],
    [undefined, undefined, false],
  );
});

const shapes: [
  code: ErrorCodeName,
  facts: Record<string, string | number>,
  headers: Record<string, string | undefined>,
  waitMs: number | undefined,
][] = [
  ['INSUFFICIENT_FUNDS', { required_micros: 5 }, { 'cache-control': 'no-store', 'retry-after': undefined }, undefined],
  ['CREDENTIAL_MISSING', {}, { 'www-authenticate': 'Bearer' }, undefined],
  ['QUEUE_FULL', { retry_after_ms: 1500 }, { 'retry-after': '2' }, 1500],
  ['QUEUE_FULL', {}, { 'retry-after': '1' }, 1000],
  ['OUTCOME_UNKNOWN', {}, { 'retry-after': '1' }, 1000],
  ['BODY_TOO_LARGE', { cap_bytes: 5 }, { 'retry-after': undefined }, undefined],
  ['NOT_FOUND', {}, { 'retry-after': undefined }, undefined],
];
for (const [code, facts, headers, waitMs] of shapes)
  test(`problem of ${code} ${JSON.stringify(facts)}`, () => {
    const problem = problemOf(refuse(code, facts), 'trace');
    assert.equal(problem.status, ERROR_CATALOGUE[code].httpStatus);
    assert.equal(problem.body['retry_after_ms'], waitMs);
    for (const [name, value] of Object.entries(headers)) assert.equal(problem.headers[name], value);
    for (const [name, value] of Object.entries(facts)) assert.equal(problem.body[name], value);
  });

test('the detail names the facts, and a fact never hides a member of RFC 9457', () => {
  const { body } = problemOf(refuse('SANDBOX_NOT_RUNNING', { status: 'ended', stop_reason: 'job_cap' }), 't');
  assert.equal(body['detail'], 'The sandbox is not running. (status ended, stop_reason job_cap)');
  assert.deepEqual([body['status'], body['current_status'], body['stop_reason']], [422, 'ended', 'job_cap']);
});

test('all violations are told, with escaped pointers', () => {
  const { body } = problemOf(refuseInvalid([{ pointer: pointerTo('/a', 'b/c~'), detail: 'd', rule: 'r' }]), 't');
  assert.deepEqual(body['errors'], [{ pointer: '/a/b~1c~0', detail: 'd', rule: 'r' }]);
});

test('what is no refusal is told as INTERNAL and logged with the trace id', () => {
  const logged: unknown[] = [];
  const fault = new Error('inside');
  const { body } = problemOfThrown(fault, 't1', (thrown, traceId) => logged.push(thrown, traceId));
  assert.deepEqual(logged, [fault, 't1']);
  assert.deepEqual(
    [body['code'], body['trace_id'], JSON.stringify(body).includes('inside')],
    ['internal', 't1', false],
  );
});
