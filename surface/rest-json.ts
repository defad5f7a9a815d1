/**
 * The REST dialect of ProtoJSON, compiled once per message type: what is printed.
 * Promise: every field is printed, null when unset; int64 is a JSON number or the encoding throws; enums are lower-case words.
 *
 * Everything but the enum words is valid ProtoJSON for any other parser: snake_case names, numbers for int64 and null
 * for absent fields are all accepted by the specification.
 */
import {
  type DescEnum,
  type DescField,
  type DescMessage,
  getOption,
  hasOption,
  type Message,
  ScalarType,
  toJson,
} from '@bufbuild/protobuf';
import { base64Encode } from '@bufbuild/protobuf/wire';
import type { Json, JsonObject } from '@tallystick/kernel';
import { FieldRender_Int64 as Int64Spelling, renderOption } from '@tallystick/proto';

const INT64_TYPES: ReadonlySet<ScalarType> = new Set([
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.SINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
]);

export type SingleKind = 'scalar' | 'enum' | 'message';
type Print = (value: unknown) => Json;
/** A message seen as a record of its fields' local names; oneofs are {case, value}. */
type Fields = Record<string, unknown>;

export const isInt64 = (type: ScalarType): boolean => INT64_TYPES.has(type);

/** Whether the contract spells this int64 as a decimal string. */
export const isInt64Text = (field: DescField): boolean =>
  hasOption(field, renderOption) && getOption(field, renderOption).int64 === Int64Spelling.STRING;

/** Whether the field must never be logged or printed on a terminal. */
export const isSecret = (field: DescField): boolean =>
  hasOption(field, renderOption) && getOption(field, renderOption).secret;

/** `stopped_due_to_budget` for JOB_STATUS_STOPPED_DUE_TO_BUDGET. */
export const enumWord = (value: { localName: string }): string => value.localName.toLowerCase();

export const isWellKnown = (type: DescMessage): boolean => type.typeName.startsWith('google.protobuf.');

/** Kind of the field's value, or of its elements. */
export function elementKind(field: DescField): SingleKind {
  if (field.fieldKind === 'list') return field.listKind;
  return field.fieldKind === 'map' ? field.mapKind : field.fieldKind;
}

const printers = new WeakMap<DescMessage, (message: Message) => JsonObject>();

/** The compiled printer of a message type. @errors the printer throws RangeError for an int64 beyond 2^53-1. */
export function restPrinter(type: DescMessage): (message: Message) => JsonObject {
  const known = printers.get(type);
  if (known) return known;
  let parts: ((fields: Fields, out: JsonObject) => void)[] | undefined;
  const print = (message: Message): JsonObject => {
    if (isWellKnown(type)) return toJson(type, message) as JsonObject;
    parts ??= type.fields.map(fieldPrinter);
    const out: JsonObject = {};
    for (const part of parts) part(message as unknown as Fields, out);
    return out;
  };
  printers.set(type, print);
  return print;
}

function fieldPrinter(field: DescField): (fields: Fields, out: JsonObject) => void {
  const print = elementPrinter(field);
  const { name, localName, oneof } = field;
  if (oneof)
    return (fields, out) => {
      const chosen = fields[oneof.localName] as { case: string | undefined; value: unknown };
      if (chosen.case === localName) out[name] = print(chosen.value);
    };
  if (field.fieldKind === 'list')
    return (fields, out) => {
      out[name] = (fields[localName] as unknown[]).map(print);
    };
  if (field.fieldKind === 'map')
    return (fields, out) => {
      const entries = Object.entries(fields[localName] as Fields);
      out[name] = Object.fromEntries(entries.map(([key, value]) => [key, print(value)]));
    };
  return (fields, out) => {
    const value = fields[localName];
    out[name] = value === undefined ? null : print(value);
  };
}

function elementPrinter(field: DescField): Print {
  const kind = elementKind(field);
  if (kind === 'message') return messagePrinter(field.message!);
  if (kind === 'enum') return enumPrinter(field.enum!);
  return scalarPrinter(field, field.scalar!);
}

const messagePrinter = (type: DescMessage): Print => {
  if (isWellKnown(type)) return (value) => toJson(type, value as Message) as Json;
  return (value) => restPrinter(type)(value as Message);
};

function enumPrinter(type: DescEnum): Print {
  const words = new Map(type.values.map((value) => [value.number, enumWord(value)]));
  return (value) => words.get(value as number) ?? (value as number);
}

function scalarPrinter(field: DescField, type: ScalarType): Print {
  if (isInt64(type))
    return isInt64Text(field) ? (value) => String(value) : (value) => safeInteger(field, value as bigint);
  if (type === ScalarType.BYTES) return (value) => base64Encode(value as Uint8Array);
  if (type === ScalarType.DOUBLE || type === ScalarType.FLOAT)
    return (value) => (Number.isFinite(value) ? (value as number) : String(value));
  return (value) => value as Json;
}

function safeInteger(field: DescField, value: bigint): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw new RangeError(`${field.parent.typeName}.${field.name} is ${value}, beyond 2^53-1: mark it INT64_STRING`);
}
