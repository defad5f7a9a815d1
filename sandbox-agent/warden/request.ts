/**
 * Reads one request: its body, its members, its query.
 * Promise: every violation is named at once, nothing unknown passes, and no body outgrows its limit.
 */
import type { IncomingMessage } from 'node:http';
import { type Json, type JsonObject, parseStrict } from '@tallystick/kernel';
import { Fault, invalid } from './fault.ts';

export const JSON_BYTES_MAX = 1024 * 1024;

/** @errors rejects with Fault `too_large` or `invalid`. */
export async function readJson(request: IncomingMessage): Promise<JsonObject> {
  const body = await readBytes(request, JSON_BYTES_MAX);
  try {
    const value = parseStrict(body);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  } catch (fault) {
    throw invalid((fault as Error).message);
  }
  throw invalid('the body is not an object');
}

/** The parts of a body; who stops reading leaves the connection open: the refusal goes over it. */
export const partsOf = (request: IncomingMessage): AsyncIterable<Buffer> =>
  request.iterator({ destroyOnReturn: false });

export async function readBytes(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of partsOf(request)) {
    total += chunk.length;
    if (total > bytesMax) {
      throw new Fault('too_large', 'too_large', `a body has at most ${bytesMax} bytes`, {
        cap: bytesMax,
        asked: total,
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Of a body that is refused so much is read on and thrown away: a caller who still sends would not hear why. */
const DRAINED_BYTES_MAX = 64 * 1024 * 1024;
const DRAIN_MS_MAX = 2_000;

/** Resolves when the body is over, or when it is too long or too slow to wait for. */
export async function drain(request: IncomingMessage): Promise<void> {
  if (request.complete || request.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, DRAIN_MS_MAX);
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > DRAINED_BYTES_MAX) resolve();
  });
  for (const end of ['end', 'close', 'error']) request.once(end, () => resolve());
  await promise;
  clearTimeout(timer);
}

/** Says what is wrong with a value, or undefined. */
export type Check = (value: Json | undefined) => string | undefined;

const TEXT_CHARS_MAX = 4_096;
/** Columns, or rows. */
const TERMINAL_CELLS_MAX = 1_000;
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}$/;

export const isName: Check = (value) =>
  typeof value === 'string' && NAME.test(value) ? undefined : 'must be 1 to 96 of A-Z a-z 0-9 _ . -';
export const isText: Check = (value) =>
  typeof value === 'string' && value.length <= TEXT_CHARS_MAX && !value.includes('\0')
    ? undefined
    : `must be text of at most ${TEXT_CHARS_MAX} characters`;
export const isPath: Check = (value) => isText(value) ?? (value === '' ? 'must not be empty' : undefined);
export const isObject: Check = (value) =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? undefined : 'must be an object';
export const isBase64: Check = (value) =>
  typeof value === 'string' && /^[A-Za-z0-9+/]*={0,2}$/.test(value) ? undefined : 'must be base64';
export const isFlag: Check = (value) => (typeof value === 'boolean' ? undefined : 'must be true or false');
export const isCount =
  (min: number, max: number): Check =>
  (value) =>
    Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max
      ? undefined
      : `must be a whole number from ${min} to ${max}`;
export const isArgv: Check = (value) =>
  Array.isArray(value) && value.length > 0 && value.every((word) => typeof word === 'string' && !word.includes('\0'))
    ? undefined
    : 'must be a list of at least one text';
export const isEnv: Check = (value) =>
  isObject(value) === undefined && Object.values(value as JsonObject).every((text) => isText(text) === undefined)
    ? undefined
    : 'must be an object of texts';
const isCells = isCount(1, TERMINAL_CELLS_MAX);
export const TERMINAL_SIZE: Record<string, Check> = { columns: isCells, rows: isCells };
export const isTerminalSize: Check = (value) => {
  if (isObject(value) !== undefined) return 'must be {columns, rows}';
  const size = value as JsonObject;
  return Object.keys(size).every((name) => Object.hasOwn(TERMINAL_SIZE, name))
    ? (isCells(size['columns']) ?? isCells(size['rows']))
    : 'has nothing but columns and rows';
};
export const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || value === null ? undefined : check(value);

/** @errors throws Fault `invalid` with all violations, by JSON pointer. */
export function checkMembers(body: JsonObject, checks: Record<string, Check>): void {
  const wrong = Object.entries(checks).flatMap(([name, check]) => {
    const violation = check(Object.hasOwn(body, name) ? body[name] : undefined);
    return violation ? [`/${name} ${violation}`] : [];
  });
  const unknown = Object.keys(body).filter((name) => !Object.hasOwn(checks, name));
  const violations = [...wrong, ...unknown.map((name) => `/${name} is unknown`)];
  if (violations.length > 0) throw invalid(violations.join('; '), { violations: violations.join('; ') });
}

/** A whole number of the query, `fallback` when absent. @errors throws Fault `invalid`. */
export function countOf(query: URLSearchParams, name: string, fallback: number, max: number): number {
  const text = query.get(name);
  if (text === null) return fallback;
  if (!/^\d{1,15}$/.test(text)) throw invalid(`${name} must be a whole number`);
  return Math.min(Number(text), max);
}

/** @errors throws Fault `invalid`. */
export function pathOf(query: URLSearchParams): string {
  const path = query.get('path');
  if (!path || path.length > TEXT_CHARS_MAX || path.includes('\0')) throw invalid('needs ?path=');
  return path;
}
