/**
 * A JSON reader that refuses every text with two readings; the slow and exact half of `parseStrict`.
 * Promise: it returns what JSON.parse returns, or throws a SyntaxError with the offset of the first ambiguity.
 */
import type { Json, JsonObject } from './json.ts';

interface Cursor {
  readonly text: string;
  readonly depthMax: number;
  at: number;
}

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const STRING = /"(?:[^"\\\p{Cc}]|[\u007f-\u009f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/uy;
const WORDS: [string, Json][] = [
  ['true', true],
  ['false', false],
  ['null', null],
];

/** @errors throws SyntaxError naming the offset */
export function parseSlowly(text: string, depthMax: number): Json {
  const cursor: Cursor = { text, depthMax, at: 0 };
  const value = readValue(cursor, 0);
  skipSpace(cursor);
  if (cursor.at < text.length) throw bad(cursor, 'something follows the value');
  return value;
}

function readValue(cursor: Cursor, depth: number): Json {
  skipSpace(cursor);
  const first = cursor.text[cursor.at];
  if (first === '{' || first === '[') {
    if (depth >= cursor.depthMax) throw bad(cursor, `deeper than ${cursor.depthMax} levels`);
    return first === '{' ? readObject(cursor, depth + 1) : readArray(cursor, depth + 1);
  }
  if (first === '"') return readString(cursor);
  for (const [word, value] of WORDS) {
    if (cursor.text.startsWith(word, cursor.at)) {
      cursor.at += word.length;
      return value;
    }
  }
  return readNumber(cursor);
}

function readObject(cursor: Cursor, depth: number): JsonObject {
  const object: JsonObject = {};
  cursor.at++;
  if (take(cursor, '}')) return object;
  do {
    skipSpace(cursor);
    const start = cursor.at;
    const key = readString(cursor);
    if (key === '__proto__') throw bad({ ...cursor, at: start }, 'the key __proto__');
    if (Object.hasOwn(object, key)) throw bad({ ...cursor, at: start }, `duplicate key ${JSON.stringify(key)}`);
    if (!take(cursor, ':')) throw bad(cursor, 'a colon is missing');
    object[key] = readValue(cursor, depth);
  } while (take(cursor, ','));
  if (!take(cursor, '}')) throw bad(cursor, 'a comma or } is missing');
  return object;
}

function readArray(cursor: Cursor, depth: number): Json[] {
  const values: Json[] = [];
  cursor.at++;
  if (take(cursor, ']')) return values;
  do values.push(readValue(cursor, depth));
  while (take(cursor, ','));
  if (!take(cursor, ']')) throw bad(cursor, 'a comma or ] is missing');
  return values;
}

function readString(cursor: Cursor): string {
  const start = cursor.at;
  const raw = match(cursor, STRING);
  if (raw === undefined) throw bad(cursor, 'a string is missing or malformed');
  const value: string = JSON.parse(raw);
  if (!value.isWellFormed()) throw bad({ ...cursor, at: start }, 'lone surrogate');
  return value;
}

function readNumber(cursor: Cursor): number {
  const start = cursor.at;
  const raw = match(cursor, NUMBER);
  if (raw === undefined) throw bad(cursor, 'a value is missing');
  if (/[.eE]/.test(raw)) throw bad({ ...cursor, at: start }, `not an integer: ${raw.slice(0, 40)}`);
  const value = Number(raw);
  if (!Number.isSafeInteger(value) || raw === '-0')
    throw bad({ ...cursor, at: start }, `not a safe integer: ${raw.slice(0, 40)}`);
  return value;
}

function match(cursor: Cursor, pattern: RegExp): string | undefined {
  pattern.lastIndex = cursor.at;
  const found = pattern.exec(cursor.text)?.[0];
  if (found !== undefined) cursor.at += found.length;
  return found;
}

const skipSpace = (cursor: Cursor): void => {
  match(cursor, SPACE);
};

function take(cursor: Cursor, char: string): boolean {
  skipSpace(cursor);
  if (cursor.text[cursor.at] !== char) return false;
  cursor.at++;
  return true;
}

const bad = (cursor: Cursor, reason: string): SyntaxError => new SyntaxError(`${reason}, offset ${cursor.at}`);
