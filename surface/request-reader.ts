/**
 * From path, query and body to one request message.
 * Promise: everything that is wrong in any of the three is told at once, with what the contract's rules say to the rest.
 */
import { type DescField, type Message, ScalarType } from '@bufbuild/protobuf';
import type { Json, JsonObject } from '@tallystick/kernel';
import type { Operation, Route } from './contract.ts';
import { readJsonText } from './json-reader.ts';
import { fieldNamed, readInto, readMessage } from './message-reader.ts';
import { pointerTo, refuseInvalid, type Violation } from './refusal.ts';
import { isNotBecauseOf } from './rule-violations.ts';

/** What arrived. `body` is undefined when there is none, or when it is raw. */
export interface HttpRequest {
  path: Readonly<Record<string, string>>;
  query: URLSearchParams;
  body: Uint8Array | undefined;
}

/** What the contract's rules say against a message. */
export type CheckRules = (operation: Operation, message: Message) => Violation[];

/** @errors INVALID_REQUEST with every violation; a request that could be read whole is not checked against the rules here */
export function readRequest(
  operation: Operation,
  route: Route,
  request: HttpRequest,
  violationsIn: CheckRules,
): Message {
  const violations: Violation[] = [];
  const message = readBody(operation, request.body, violations);
  violations.push(...readQuery(operation, route, request.query, message));
  violations.push(...readPath(operation, route, request.path, message));
  if (violations.length === 0) return message;
  throw refuseInvalid([...violations, ...violationsIn(operation, message).filter(isNotBecauseOf(violations))]);
}

function readBody({ method }: Operation, body: Uint8Array | undefined, violations: Violation[]): Message {
  const text = decodeUtf8(body, violations);
  const read = text.trim() === '' ? { value: {}, violations: [] } : readJsonText(text);
  violations.push(...read.violations);
  if (read.value === undefined) return readMessage(method.input, {}).message;
  const { message, violations: found } = readMessage(method.input, read.value);
  if (found.length === 0) return message;
  const told = new Set(violations.map(({ pointer }) => pointer));
  violations.push(...found.filter(({ pointer }) => !told.has(pointer)));
  return message;
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });

function decodeUtf8(body: Uint8Array | undefined, violations: Violation[]): string {
  try {
    return body === undefined ? '' : UTF8.decode(body);
  } catch {
    violations.push({ pointer: '', detail: 'the body is not UTF-8', rule: 'json.utf8' });
    return '';
  }
}

/** Query parameters are fields only where the route has no body. */
function readQuery({ method }: Operation, route: Route, query: URLSearchParams, message: Message): Violation[] {
  const violations: Violation[] = [];
  if (query.size === 0) return violations;
  for (const name of new Set(query.keys())) {
    const field = route.rest === 'query' ? fieldNamed(method.input, name) : undefined;
    const pointer = pointerTo('', name);
    const values = query.getAll(name);
    if (!field || route.pathFields.includes(field.name) || isStructured(field))
      violations.push({ pointer, detail: 'unknown query parameter', rule: 'http.query' });
    else if (field.fieldKind !== 'list' && values.length > 1)
      violations.push({ pointer, detail: 'stands twice', rule: 'http.query' });
    else violations.push(...readInto(method.input, message, { [name]: queryJson(field, values) }));
  }
  return violations;
}

/** Maps and messages have no spelling in a query. */
const isStructured = (field: DescField): boolean => field.fieldKind === 'map' || field.message !== undefined;

function queryJson(field: DescField, values: string[]): Json {
  const one = (text: string): Json => {
    if (field.scalar !== ScalarType.BOOL) return text;
    return text === 'true' ? true : text === 'false' ? false : text;
  };
  return field.fieldKind === 'list' ? values.map(one) : one(values[0] ?? '');
}

/** The path has the last word; a body that says otherwise is refused. */
function readPath(
  { method }: Operation,
  route: Route,
  path: Readonly<Record<string, string>>,
  message: Message,
): Violation[] {
  return route.pathFields.flatMap((name) => {
    const field = fieldNamed(method.input, name)!;
    const told = (message as unknown as Record<string, unknown>)[field.localName];
    const value = path[name] ?? '';
    if (told !== undefined && told !== '' && told !== 0 && told !== 0n && String(told) !== value)
      return [{ pointer: pointerTo('', name), detail: 'differs from the path', rule: 'http.path' }];
    const object: JsonObject = { [name]: value };
    return readInto(method.input, message, object);
  });
}
