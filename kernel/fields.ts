/**
 * Reading the members of a command's body or an event's body.
 * Promise: a member of another type than the rule expects is a bug of the caller and throws, naming the member.
 */
import type { Json, JsonObject } from './json.ts';
import { parseMicros } from './money.ts';

const DECIMAL = /^(?:0|[1-9][0-9]{0,18})$/;

const wrong = (name: string, what: string, value: Json | undefined): TypeError =>
  new TypeError(`the member ${name} must be ${what}, it is ${JSON.stringify(value)}`);

/** @errors throws TypeError unless the member is a string */
export function textIn(body: JsonObject, name: string): string {
  const value = body[name];
  if (typeof value !== 'string') throw wrong(name, 'a string', value);
  return value;
}

/** @errors throws TypeError unless the member is an integer of at least 0 */
export function countIn(body: JsonObject, name: string): number {
  const value = body[name];
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw wrong(name, 'a count', value);
  return value;
}

/** @errors throws TypeError unless the member is true or false */
export function flagIn(body: JsonObject, name: string): boolean {
  const value = body[name];
  if (typeof value !== 'boolean') throw wrong(name, 'true or false', value);
  return value;
}

/** Micros of money. @errors throws TypeError unless the member is a decimal string */
export const microsIn = (body: JsonObject, name: string): bigint => parseMicros(textIn(body, name));

/** Microseconds since 1970. @errors throws TypeError unless the member is a decimal string */
export function timeUsIn(body: JsonObject, name: string): bigint {
  const text = textIn(body, name);
  if (!DECIMAL.test(text)) throw wrong(name, 'microseconds as a decimal string', text);
  return BigInt(text);
}

/** @errors throws TypeError unless the member is a list of strings */
export function textsIn(body: JsonObject, name: string): string[] {
  const value = body[name];
  if (!Array.isArray(value) || !value.every((one) => typeof one === 'string')) throw wrong(name, 'strings', value);
  return value as string[];
}

/** @errors throws TypeError unless the member is a list of integers of at least 0 */
export function countsIn(body: JsonObject, name: string): number[] {
  const value = body[name];
  if (!Array.isArray(value) || !value.every((one) => Number.isSafeInteger(one) && (one as number) >= 0))
    throw wrong(name, 'counts', value);
  return value as number[];
}

/** Reads the member, or null when it is null or missing. */
export const optionalIn = <T>(body: JsonObject, name: string, read: (body: JsonObject, name: string) => T): T | null =>
  body[name] === null || body[name] === undefined ? null : read(body, name);
