/**
 * A JSON reader for requests: collects everything that is wrong, with pointers, instead of stopping at the first.
 * Promise: duplicate keys and integers that JSON.parse would round are violations, never silently one of two readings.
 *
 * Not kernel's parseStrict: that one guards canonical bytes and throws at the first ambiguity.
 */
import type { Json, JsonObject } from '@tallystick/kernel';
import { note, pointerTo, type Violation } from './refusal.ts';

export const REQUEST_DEPTH_MAX = 32;

/** `value` is undefined when the text is not JSON at all. Objects have no prototype, so any key is just a key. */
export interface ReadJson {
  value: Json | undefined;
  violations: Violation[];
}

interface Reader {
  readonly text: string;
  at: number;
  readonly violations: Violation[];
}

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
/** By their first character. */
const WORDS: ReadonlyMap<string, readonly [string, Json]> = new Map([
  ['t', ['true', true]],
  ['f', ['false', false]],
  ['n', ['null', null]],
]);

class SyntaxFault extends Error {}

/** Reads a whole text. */
export function readJsonText(text: string): ReadJson {
  const reader: Reader = { text, at: 0, violations: [] };
  try {
    const value = readValue(reader, '', 0);
    skipSpace(reader);
    if (reader.at < text.length) throw new SyntaxFault('something follows the value');
    return { value, violations: reader.violations };
  } catch (fault) {
    if (!(fault instanceof SyntaxFault)) throw fault;
    const detail = `not valid JSON at offset ${reader.at}: ${fault.message}`;
    note(reader.violations, { pointer: '', detail, rule: 'json.syntax' });
    return { value: undefined, violations: reader.violations };
  }
}

function readValue(reader: Reader, pointer: string, depth: number): Json {
  skipSpace(reader);
  const first = reader.text[reader.at];
  if (first === '{' || first === '[') {
    if (depth === REQUEST_DEPTH_MAX) throw new SyntaxFault(`deeper than ${REQUEST_DEPTH_MAX} levels`);
    return first === '{' ? readObject(reader, pointer, depth + 1) : readArray(reader, pointer, depth + 1);
  }
  if (first === '"') return readString(reader);
  const word = WORDS.get(first ?? '');
  if (word === undefined || !reader.text.startsWith(word[0], reader.at)) return readNumber(reader, pointer);
  reader.at += word[0].length;
  return word[1];
}

function readObject(reader: Reader, pointer: string, depth: number): JsonObject {
  const object: JsonObject = Object.create(null);
  reader.at++;
  if (take(reader, '}')) return object;
  do {
    skipSpace(reader);
    const key = readString(reader);
    const at = pointerTo(pointer, key);
    if (Object.hasOwn(object, key))
      note(reader.violations, { pointer: at, detail: 'stands twice', rule: 'json.duplicate' });
    if (!take(reader, ':')) throw new SyntaxFault('a colon is missing');
    object[key] = readValue(reader, at, depth);
  } while (take(reader, ','));
  if (!take(reader, '}')) throw new SyntaxFault('a comma or } is missing');
  return object;
}

function readArray(reader: Reader, pointer: string, depth: number): Json[] {
  const values: Json[] = [];
  reader.at++;
  if (take(reader, ']')) return values;
  do values.push(readValue(reader, pointerTo(pointer, values.length), depth));
  while (take(reader, ','));
  if (!take(reader, ']')) throw new SyntaxFault('a comma or ] is missing');
  return values;
}

function readString(reader: Reader): string {
  const start = reader.at;
  if (reader.text[start] !== '"') throw new SyntaxFault('a string is missing');
  let end = reader.text.indexOf('"', start + 1);
  while (end > 0 && isEscaped(reader.text, end)) end = reader.text.indexOf('"', end + 1);
  if (end < 0) throw new SyntaxFault('a string does not end');
  reader.at = end + 1;
  try {
    return JSON.parse(reader.text.slice(start, end + 1));
  } catch {
    reader.at = start;
    throw new SyntaxFault('a malformed string');
  }
}

/** Whether an odd number of backslashes stands before `at`. */
function isEscaped(text: string, at: number): boolean {
  let start = at;
  while (text[start - 1] === '\\') start--;
  return (at - start) % 2 === 1;
}

function readNumber(reader: Reader, pointer: string): number {
  NUMBER.lastIndex = reader.at;
  const found = NUMBER.exec(reader.text);
  if (!found) throw new SyntaxFault('a value is missing');
  reader.at += found[0].length;
  const value = Number(found[0]);
  if (Number.isInteger(value) && !Number.isSafeInteger(value))
    note(reader.violations, { pointer, detail: 'an integer beyond 2^53-1: send it as a string', rule: 'json.int' });
  return value;
}

/** The last character that may be space. */
const SPACE_CODE = 0x20;

function skipSpace(reader: Reader): void {
  if (reader.text.charCodeAt(reader.at) > SPACE_CODE) return;
  SPACE.lastIndex = reader.at;
  reader.at += SPACE.exec(reader.text)?.[0].length ?? 0;
}

function take(reader: Reader, char: string): boolean {
  skipSpace(reader);
  if (reader.text[reader.at] !== char) return false;
  reader.at++;
  return true;
}
