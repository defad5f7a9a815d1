/**
 * Canonical JSON (RFC 8785) and the strict reading of JSON text.
 * Promise: what is hashed or signed has exactly one spelling; anything ambiguous throws and says where.
 */
import type { Json, JsonObject } from './json.ts';
import { parseSlowly } from './strict-json.ts';

/** Containers inside containers; enough for every contract, small enough for any stack. */
export const JSON_DEPTH_MAX = 64;

/** Up to here insertion sort is quicker than the general one. */
const SMALL_KEYS_MAX = 24;

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A string that needs no escape and holds no surrogate is its own JSON. */
const NEEDS_CARE = /[^ !#-[\]-\ud7ff\ue000-\uffff]/;

/**
 * The one spelling of a value: plain objects, arrays, strings, booleans, null and safe integers.
 * @errors throws TypeError naming the JSON pointer of a float, an unsafe integer, -0, undefined, a hole, a lone surrogate,
 * a `__proto__` key, an object that is not plain, or a depth beyond JSON_DEPTH_MAX
 * @source RFC 8785
 */
export function jcs(value: Json): string {
  try {
    return write(value, 0);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new TypeError(`${error.message} at ${locate(value, '', 0) || 'the root'}`);
  }
}

/**
 * Reads JSON that has only one meaning.
 * @errors throws SyntaxError naming the offset: bad UTF-8 or grammar, duplicate key, `__proto__`, float, exponent, unsafe
 * integer, -0, lone surrogate, depth beyond JSON_DEPTH_MAX, bytes after the value
 */
export function parseStrict(text: string | Uint8Array): Json {
  const source = typeof text === 'string' ? text : decodeUtf8(text);
  return parseCanonical(source) ?? parseSlowly(source, JSON_DEPTH_MAX);
}

/** Whether the bytes are the RFC 8785 form of what they mean. */
export function isCanonical(bytes: string | Uint8Array): boolean {
  try {
    const source = typeof bytes === 'string' ? bytes : UTF8.decode(bytes);
    return jcs(JSON.parse(source)) === source;
  } catch {
    return false;
  }
}

/** Text that equals its own canonical form cannot hide a duplicate key or a rounded number. Undefined: look closely. */
function parseCanonical(source: string): Json | undefined {
  try {
    const value: Json = JSON.parse(source);
    return value !== null && write(value, 0) === source ? value : undefined;
  } catch {
    return undefined;
  }
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes);
  } catch {
    throw new SyntaxError('the bytes are not UTF-8');
  }
}

function write(value: Json, depth: number): string {
  switch (typeof value) {
    case 'string':
      return writeString(value);
    case 'number':
      if (!Number.isSafeInteger(value) || Object.is(value, -0)) throw new TypeError(`not a safe integer: ${value}`);
      return String(value);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      if (value === null) return 'null';
      if (depth >= JSON_DEPTH_MAX) throw new TypeError(`deeper than ${JSON_DEPTH_MAX} levels`);
      return Array.isArray(value) ? writeArray(value, depth + 1) : writeObject(value, depth + 1);
    default:
      throw new TypeError(`not JSON: ${typeof value}`);
  }
}

function writeString(value: string): string {
  if (!NEEDS_CARE.test(value)) return `"${value}"`;
  if (!value.isWellFormed()) throw new TypeError('lone surrogate');
  return JSON.stringify(value);
}

function writeArray(values: Json[], depth: number): string {
  if (Object.getPrototypeOf(values) !== Array.prototype) throw new TypeError('not a plain array');
  let out = '';
  for (let i = 0; i < values.length; i++) out += (i === 0 ? '' : ',') + write(values[i] as Json, depth);
  return `[${out}]`;
}

function writeObject(value: JsonObject, depth: number): string {
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) throw new TypeError('not a plain object');
  let out = '';
  for (const key of sortedKeys(value)) {
    if (key === '__proto__') throw new TypeError('the key __proto__');
    out += `${out === '' ? '' : ','}${writeString(key)}:${write(value[key] as Json, depth)}`;
  }
  return `{${out}}`;
}

/** In the order of UTF-16 code units, as RFC 8785 asks. */
function sortedKeys(value: JsonObject): string[] {
  const keys = Object.keys(value);
  for (let i = 1; i < keys.length; i++) if (keys[i - 1]! > keys[i]!) return sortKeys(keys);
  return keys;
}

/** Objects have few members: insertion beats the general sort several times. */
function sortKeys(keys: string[]): string[] {
  if (keys.length > SMALL_KEYS_MAX) return keys.sort();
  for (let i = 1; i < keys.length; i++) {
    const key = keys[i]!;
    let at = i;
    for (; at > 0 && keys[at - 1]! > key; at--) keys[at] = keys[at - 1]!;
    keys[at] = key;
  }
  return keys;
}

/** The JSON pointer of the first value that cannot be written; empty when it is the root. */
function locate(value: Json, pointer: string, depth: number): string {
  if (typeof value !== 'object' || value === null || depth >= JSON_DEPTH_MAX) return pointer;
  const keys = Array.isArray(value) ? Array.from(value, (_, i) => String(i)) : Object.keys(value).sort();
  for (const key of keys) {
    const child = (value as JsonObject)[key] as Json;
    const at = `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    if (key === '__proto__' || !key.isWellFormed()) return at;
    if (!isWritable(child, depth + 1)) return locate(child, at, depth + 1);
  }
  return pointer;
}

function isWritable(value: Json, depth: number): boolean {
  try {
    write(value, depth);
    return true;
  } catch {
    return false;
  }
}
