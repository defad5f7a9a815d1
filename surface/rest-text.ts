/**
 * Answers as JSON text, in the dialect of rest-json.ts, written straight from what a handler returned.
 * Promise: the same text as printing the whole message would give; what a handler leaves out is printed as its default.
 */
import { create, type DescEnum, type DescField, type DescMessage, ScalarType, toJson } from '@bufbuild/protobuf';
import { base64Encode } from '@bufbuild/protobuf/wire';
import { elementKind, enumWord, isInt64, isInt64Text, isWellKnown } from './rest-json.ts';

/** A message, or what makes one: a record of its fields' local names. */
type Fields = Readonly<Record<string, unknown>>;
type Write = (value: never) => string;
type WriteField = (fields: Fields) => string;

const TIMESTAMP = 'google.protobuf.Timestamp';
const MS_PER_S = 1000;
const SECONDS_PER_DAY = 86_400;
const SECONDS_PER_HOUR = 3_600;
const SECONDS_PER_MINUTE = 60;
const NANO_DIGITS = 9;
const DAY_CHARS = 'yyyy-mm-ddT'.length;
/** 0001-01-01 and 9999-12-31, beyond which protobuf has no text for a moment. */
const SECONDS_MIN = -62_135_596_800;
const SECONDS_MAX = 253_402_300_799;

const writers = new WeakMap<DescMessage, Write>();

/** The compiled writer of a message type. @errors the writer throws RangeError for an int64 beyond 2^53-1. */
export function restWriter(type: DescMessage): (fields: Fields) => string {
  const known = writers.get(type) ?? writerOf(type);
  writers.set(type, known);
  return known as (fields: Fields) => string;
}

function writerOf(type: DescMessage): Write {
  if (type.typeName === TIMESTAMP) return timestampText as Write;
  if (isWellKnown(type)) return (fields: Fields) => JSON.stringify(toJson(type, create(type, fields)));
  let parts: WriteField[] | undefined;
  return (fields: Fields) => {
    parts ??= partsOf(type);
    let text = '';
    for (const part of parts) text += part(fields); // each begins with a comma
    return text === '' ? '{}' : `{${text.slice(1)}}`;
  };
}

/** What an absent field holds is what it holds in a new message. */
function partsOf(type: DescMessage): WriteField[] {
  const blank = create(type) as unknown as Fields;
  return type.fields.map((field) => fieldWriter(field, blank));
}

function fieldWriter(field: DescField, blank: Fields): WriteField {
  const { localName, oneof } = field;
  const write = elementWriter(field);
  const name = `,${JSON.stringify(field.name)}:`;
  if (oneof)
    return (fields) => {
      const chosen = fields[oneof.localName] as { case?: string; value?: never } | undefined;
      return chosen?.case === localName ? name + write(chosen.value!) : '';
    };
  const whole = field.fieldKind === 'list' ? listText(write) : field.fieldKind === 'map' ? mapText(write) : write;
  const absent = blank[localName] === undefined ? 'null' : whole(blank[localName] as never);
  return (fields) => {
    const value = fields[localName];
    return name + (value === undefined || value === null ? absent : whole(value as never));
  };
}

const listText =
  (write: Write): Write =>
  (values: readonly never[]) =>
    `[${values.map(write).join(',')}]`;

const mapText =
  (write: Write): Write =>
  (entries: Readonly<Record<string, never>>) =>
    `{${Object.entries(entries)
      .map(([key, value]) => `${JSON.stringify(key)}:${write(value)}`)
      .join(',')}}`;

function elementWriter(field: DescField): Write {
  const kind = elementKind(field);
  if (kind === 'message') return restWriter(field.message!) as Write;
  return kind === 'enum' ? enumWriter(field.enum!) : scalarWriter(field, field.scalar!);
}

function enumWriter(type: DescEnum): Write {
  const words = new Map(type.values.map((value) => [value.number, JSON.stringify(enumWord(value))]));
  return (value: number) => words.get(value) ?? String(value);
}

function scalarWriter(field: DescField, type: ScalarType): Write {
  if (isInt64(type)) return isInt64Text(field) ? (value: bigint) => `"${value}"` : safeIntegerWriter(field);
  if (type === ScalarType.BYTES) return (value: Uint8Array) => `"${base64Encode(value)}"`;
  if (type === ScalarType.DOUBLE || type === ScalarType.FLOAT)
    return (value: number) => (Number.isFinite(value) ? JSON.stringify(value) : `"${value}"`);
  if (type === ScalarType.STRING) return (value: string) => JSON.stringify(value);
  return (value: number | boolean) => String(value);
}

function safeIntegerWriter(field: DescField): Write {
  const { name, parent } = field;
  return (value: bigint) => {
    if (Number.isSafeInteger(Number(value))) return String(value);
    throw new RangeError(`${parent.typeName}.${name} is ${value}, beyond 2^53-1: mark it INT64_STRING`);
  };
}

/** As protobuf prints it: no, three, six or nine digits of a second. @errors throws RangeError outside of years 1 to 9999. */
function timestampText({ seconds = 0n, nanos = 0 }: { seconds?: bigint; nanos?: number }): string {
  const at = Number(seconds);
  if (at < SECONDS_MIN || at > SECONDS_MAX || nanos < 0) throw new RangeError(`no moment of years 1 to 9999: ${at} s`);
  const upToSecond = secondText(at);
  if (nanos === 0) return `"${upToSecond}Z"`;
  const digits = String(nanos).padStart(NANO_DIGITS, '0');
  return `"${upToSecond}.${digits.endsWith('000000') ? digits.slice(0, 3) : digits.endsWith('000') ? digits.slice(0, 6) : digits}Z"`;
}

const TWO_DIGITS = Array.from({ length: 60 }, (_, number) => String(number).padStart(2, '0'));
let lastDay = { number: 0, text: '1970-01-01T' };

/** `yyyy-mm-ddThh:mm:ss`; most moments of an answer are of one day, and its text is kept. */
function secondText(at: number): string {
  const number = Math.floor(at / SECONDS_PER_DAY);
  if (number !== lastDay.number)
    lastDay = { number, text: new Date(number * SECONDS_PER_DAY * MS_PER_S).toISOString().slice(0, DAY_CHARS) };
  const inDay = at - number * SECONDS_PER_DAY;
  const hour = TWO_DIGITS[Math.floor(inDay / SECONDS_PER_HOUR)];
  const minute = TWO_DIGITS[Math.floor(inDay / SECONDS_PER_MINUTE) % 60];
  return `${lastDay.text}${hour}:${minute}:${TWO_DIGITS[inDay % 60]}`;
}
