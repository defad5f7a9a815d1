/**
 * From JSON values to contract messages, in the REST dialect: what is accepted.
 * Promise: every value that does not fit is a violation with its pointer; the message holds whatever did fit.
 */
import {
  create,
  type DescEnum,
  type DescField,
  type DescMessage,
  type Message,
  mergeFromJson,
} from '@bufbuild/protobuf';
import type { Json, JsonObject } from '@tallystick/kernel';
import { plainReaderOf } from './plain-values.ts';
import { isFull, note, pointerTo, type Violation } from './refusal.ts';
import { elementKind, enumWord, isWellKnown } from './rest-json.ts';

/** How unknown fields are met: a server refuses them, a client of a newer server ignores them. */
export type UnknownFields = 'refuse' | 'ignore';

interface Reading {
  readonly violations: Violation[];
  readonly unknown: UnknownFields;
}

/** A message seen as a record of its fields' local names. */
type Fields = Record<string, unknown>;

export interface ReadMessage {
  message: Message;
  violations: Violation[];
}

const fieldMaps = new WeakMap<DescMessage, Map<string, DescField>>();
const wordMaps = new WeakMap<DescEnum, Map<string, string>>();

/** The field with this wire name; both spellings are accepted. */
export function fieldNamed(type: DescMessage, name: string): DescField | undefined {
  let fields = fieldMaps.get(type);
  if (!fields) {
    fields = new Map(type.fields.flatMap((field) => [field.jsonName, field.name].map((key) => [key, field] as const)));
    fieldMaps.set(type, fields);
  }
  return fields.get(name);
}

/** Reads an object into a new message. */
export function readMessage(type: DescMessage, value: Json, unknown: UnknownFields = 'refuse'): ReadMessage {
  const reading: Reading = { violations: [], unknown };
  return { message: readObject(reading, type, value, ''), violations: reading.violations };
}

/** Reads more fields into a message that exists already. */
export function readInto(type: DescMessage, message: Message, value: JsonObject): Violation[] {
  const reading: Reading = { violations: [], unknown: 'refuse' };
  fillMessage(reading, type, message, value, '');
  return reading.violations;
}

function readObject(reading: Reading, type: DescMessage, value: Json, pointer: string): Message {
  const message = create(type);
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    fillMessage(reading, type, message, value, pointer);
  else note(reading.violations, { pointer, detail: 'must be an object', rule: 'json.type' });
  return message;
}

function fillMessage(reading: Reading, type: DescMessage, message: Message, object: JsonObject, pointer: string): void {
  const names = new Map<DescField, string>();
  for (const [key, value] of Object.entries(object)) {
    if (isFull(reading.violations)) return;
    const at = pointerTo(pointer, key);
    const field = fieldNamed(type, key);
    if (!field) {
      if (reading.unknown === 'refuse')
        note(reading.violations, { pointer: at, detail: 'unknown field', rule: 'json.unknown' });
    } else if (names.has(field)) {
      note(reading.violations, {
        pointer: at,
        detail: `stands twice, also as ${names.get(field)}`,
        rule: 'json.duplicate',
      });
    } else {
      names.set(field, key);
      if (value !== null) readField(reading, { type, field, message }, value, at);
    }
  }
}

/** A field of a message that is being filled. */
interface Place {
  type: DescMessage;
  field: DescField;
  message: Message;
}

function readField(reading: Reading, place: Place, value: Json, pointer: string): void {
  const { field } = place;
  if (field.fieldKind === 'list') readList(reading, place, value, pointer);
  else if (field.fieldKind === 'map') readMap(reading, place, value, pointer);
  else if (isNested(field)) setOne(place, readObject(reading, field.message!, value, pointer));
  else {
    const plain = plainReaderOf(field)(value);
    if (plain !== undefined && !field.oneof) setOne(place, plain);
    else readLeaf(reading, place, translated(field, value), pointer);
  }
}

const isNested = (field: DescField): boolean => elementKind(field) === 'message' && !isWellKnown(field.message!);

function setOne({ field, message }: Place, value: unknown): void {
  const fields = message as unknown as Fields;
  if (field.oneof) fields[field.oneof.localName] = { case: field.localName, value };
  else fields[field.localName] = value;
}

function readList(reading: Reading, place: Place, value: Json, pointer: string): void {
  if (!Array.isArray(value)) {
    note(reading.violations, { pointer, detail: 'must be a list', rule: 'json.type' });
    return;
  }
  const readPlain = plainReaderOf(place.field);
  const list = (place.message as unknown as Fields)[place.field.localName] as unknown[];
  for (const [index, element] of value.entries()) {
    if (isFull(reading.violations)) return;
    const at = pointerTo(pointer, index);
    const plain = readPlain(element);
    if (plain !== undefined) list.push(plain);
    else if (isNested(place.field)) list.push(readObject(reading, place.field.message!, element, at));
    else readLeaf(reading, place, [translated(place.field, element)], at);
  }
}

function readMap(reading: Reading, place: Place, value: Json, pointer: string): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    note(reading.violations, { pointer, detail: 'must be an object', rule: 'json.type' });
    return;
  }
  const map = (place.message as unknown as Fields)[place.field.localName] as Fields;
  for (const [key, element] of Object.entries(value)) {
    if (isFull(reading.violations)) return;
    const at = pointerTo(pointer, key);
    // protobuf-es keeps maps as plain objects, where this one key would set the prototype.
    if (key === '__proto__') note(reading.violations, { pointer: at, detail: 'not a usable key', rule: 'json.type' });
    else if (isNested(place.field)) map[key] = readObject(reading, place.field.message!, element, at);
    else readLeaf(reading, place, { [key]: translated(place.field, element) }, at);
  }
}

/** Lets protobuf-es read one scalar, enum or well-known value, wrapped as its field wants it. */
function readLeaf(reading: Reading, { type, field, message }: Place, value: Json, pointer: string): void {
  try {
    mergeFromJson(type, message, { [field.name]: value }, { ignoreUnknownFields: reading.unknown === 'ignore' });
  } catch (fault) {
    const detail = (fault as Error).message.replace(/^cannot decode .*? from JSON: /, '');
    note(reading.violations, { pointer, detail, rule: 'json.type' });
  }
}

/** The proto name of an enum word; anything else as it is. */
function translated(field: DescField, value: Json): Json {
  if (elementKind(field) !== 'enum' || typeof value !== 'string') return value;
  const type = field.enum!;
  let words = wordMaps.get(type);
  if (!words) {
    words = new Map(type.values.map((member) => [enumWord(member), member.name]));
    wordMaps.set(type, words);
  }
  return words.get(value) ?? value;
}
