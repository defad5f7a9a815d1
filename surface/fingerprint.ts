/**
 * The fingerprint of a request: what an Idempotency-Key is bound to.
 * Promise: the same request has the same fingerprint however its JSON was spelled; maps are ordered, unknown fields dropped.
 */
import { hash } from 'node:crypto';
import { clone, type DescField, type DescMessage, type Message, toBinary } from '@bufbuild/protobuf';

/** A message seen as a record of its fields' local names. */
type Fields = Record<string, unknown>;

const withMaps = new WeakMap<DescMessage, boolean>();

/** Hex SHA-256 of the method's name and the request's ordered protobuf bytes. */
export const fingerprintOf = (methodName: string, type: DescMessage, request: Message): string =>
  hash('sha256', Buffer.concat([prefixOf(methodName), orderedBytes(type, request)]), 'hex');

const prefixes = new Map<string, Buffer>();

/** There are as many as methods. */
function prefixOf(methodName: string): Buffer {
  const known = prefixes.get(methodName) ?? Buffer.from(`${methodName}\0`);
  prefixes.set(methodName, known);
  return known;
}

/**
 * Same message, same bytes. For fingerprints only: protobuf promises no canonical form across versions, so what is signed
 * or stored for others is JSON in canonical form.
 */
export const orderedBytes = (type: DescMessage, message: Message): Uint8Array =>
  toBinary(type, hasMaps(type) ? ordered(type, clone(type, message)) : message, { writeUnknownFields: false });

function hasMaps(type: DescMessage, visiting: ReadonlySet<DescMessage> = new Set()): boolean {
  const known = withMaps.get(type);
  if (known !== undefined) return known;
  if (visiting.has(type)) return false;
  const path = new Set([...visiting, type]);
  const found = type.fields.some(
    (field) => field.fieldKind === 'map' || (field.message !== undefined && hasMaps(field.message, path)),
  );
  withMaps.set(type, found);
  return found;
}

/** Orders the maps of a message in place, at any depth. */
function ordered(type: DescMessage, message: Message): Message {
  for (const field of type.fields) {
    const holder = message as unknown as Fields;
    if (!field.oneof) holder[field.localName] = orderedField(field, holder[field.localName]);
    else orderedOneof(field, holder[field.oneof.localName] as { case?: string; value?: unknown });
  }
  return message;
}

function orderedOneof(field: DescField, chosen: { case?: string; value?: unknown }): void {
  if (chosen.case === field.localName) chosen.value = orderedField(field, chosen.value);
}

function orderedField(field: DescField, value: unknown): unknown {
  const nested = field.message;
  const element = (item: unknown) => (nested && hasMaps(nested) ? ordered(nested, item as Message) : item);
  if (field.fieldKind === 'list') return (value as unknown[]).map(element);
  if (field.fieldKind !== 'map') return value === undefined ? undefined : element(value);
  const entries = Object.entries(value as Fields).sort(([left], [right]) => (left < right ? -1 : 1));
  return Object.fromEntries(entries.map(([key, item]) => [key, element(item)]));
}
