/**
 * The published contract as a list of endpoints, read from `contract.lock` as anybody could.
 * Promise: an endpoint that is added there is tested without a line of test being written.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './platform.ts';

const LOCK = join(ROOT, 'proto', 'derived', 'contract.lock');
const ANY_NUMBER = '8080';
const HEX_DIGITS = '0'.repeat(32);

export interface Field {
  name: string;
  /** `int64`, `uint32`, `string`, `repeated`, `map`, `enum`, `bytes`. */
  kind: string;
  isInPath: boolean;
}

export interface Endpoint {
  name: string;
  verb: 'GET' | 'POST';
  /** With placeholders. */
  template: string;
  /** Path with ids of the right shape that nothing has. */
  path: string;
  scopes: string[];
  isPublic: boolean;
  /** Its body is bytes, not JSON. */
  isRawRequest: boolean;
  isRawResponse: boolean;
  /** Those that carry a rule. */
  fields: Field[];
}

type Rules = Record<string, Record<string, unknown>>;

export function readEndpoints(): Endpoint[] {
  const lines = readFileSync(LOCK, 'utf8').split('\n');
  const rest = (start: string): string[] =>
    lines.filter((line) => line.startsWith(start)).map((line) => line.slice(start.length));
  const auth = new Map(rest('auth ').map((line) => [line.split(' ')[0]!, line.split(' ').slice(1).join(' ')]));
  const raw = { request: rest('raw request '), response: rest('raw response ').map((line) => line.split(' ')[0]!) };
  const rules = rulesOf(rest('rule '));
  return rest('route ').map((line) => {
    const [verb, template, , method] = line.split(' ') as ['GET' | 'POST', string, string, string];
    const fields = fieldsOf(rules.get(requestOf(method)) ?? {}, template);
    const grant = auth.get(method)!;
    return {
      name: `${verb} ${template}`,
      verb,
      template,
      path: template.replace(/\{([^}]+)\}/g, (_, name: string) => idFor(rules.get(requestOf(method))?.[name])),
      scopes: grant === 'public' ? [] : grant.split(/[ ,]+/),
      isPublic: grant === 'public',
      isRawRequest: raw.request.includes(method),
      isRawResponse: raw.response.includes(method),
      fields,
    };
  });
}

/** `a.v1.JobService.CreateJob` asks with `a.v1.CreateJobRequest`. */
const requestOf = (method: string): string => method.replace(/[^.]+\.([^.]+)$/, '$1Request');

/** Rules by request and field. */
function rulesOf(lines: string[]): Map<string, Rules> {
  const found = new Map<string, Rules>();
  for (const line of lines) {
    const [, message, field, json] = /^(.+)\.([a-z_0-9]+) (\{.*\})$/.exec(line)!;
    const fields = found.get(message!) ?? {};
    fields[field!] = JSON.parse(json!);
    found.set(message!, fields);
  }
  return found;
}

const fieldsOf = (rules: Rules, template: string): Field[] =>
  Object.entries(rules).map(([name, rule]) => ({
    name,
    kind: Object.keys(rule).find((key) => key !== 'required' && key !== 'ignore') ?? '',
    isInPath: template.includes(`{${name}}`),
  }));

/** `^job_[0-9a-f]{32}$` → `job_000…`; a number where the rule is one for numbers. */
function idFor(rule: Record<string, unknown> | undefined): string {
  if (rule && 'uint32' in rule) return ANY_NUMBER;
  const pattern = (rule?.['string'] as { pattern?: string } | undefined)?.pattern ?? '';
  return `${/^\^([a-z]+_)/.exec(pattern)?.[1] ?? ''}${HEX_DIGITS}`;
}
