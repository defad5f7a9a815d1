/**
 * Messages as plain values, spelled as the platform's REST answers are.
 * Promise: every field stands there, null when unset; int64 is a number, an enum a lower-case word; a secret is left out.
 */
import {
  type DescEnum,
  type DescField,
  type DescMessage,
  getOption,
  hasOption,
  type MessageShape,
  ScalarType,
  toJson,
} from '@bufbuild/protobuf';
import type { Json, JsonObject } from '@tallystick/kernel';
import { renderOption } from '@tallystick/proto';

const INT64: ReadonlySet<ScalarType | undefined> = new Set([
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.SINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
]);

/**
 * For logs, terminals and files. API key secrets are left out.
 * @errors RangeError for an int64 beyond 2^53-1
 * @example plain(JobSchema, job.state) // {id: 'job_…', status: 'active', spent_micros: 1250, …}
 */
export function plain<S extends DescMessage>(schema: S, message: MessageShape<S>): JsonObject {
  const json = toJson(schema, message, { useProtoFieldName: true, alwaysEmitImplicit: true });
  return plainMessage(schema, json as JsonObject);
}

function plainMessage(schema: DescMessage, json: JsonObject): JsonObject {
  const shown = schema.fields.filter((field) => !isSecret(field) && (!field.oneof || field.name in json));
  return Object.fromEntries(shown.map((field) => [field.name, plainField(field, json[field.name])]));
}

const isSecret = (field: DescField): boolean => hasOption(field, renderOption) && getOption(field, renderOption).secret;

function plainField(field: DescField, value: Json | undefined): Json {
  if (value === undefined || value === null) return null;
  if (field.fieldKind === 'list') return (value as Json[]).map((item) => plainElement(field, item));
  if (field.fieldKind !== 'map') return plainElement(field, value);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plainElement(field, item as Json)]));
}

function plainElement(field: DescField, value: Json): Json {
  if (field.message)
    return typeof value === 'object' && value !== null && !isWellKnown(field.message)
      ? plainMessage(field.message, value as JsonObject)
      : value;
  if (field.enum) return typeof value === 'string' ? enumWord(field.enum, value) : value;
  if (INT64.has(field.scalar)) return safeInteger(field, value);
  return value;
}

const isWellKnown = (schema: DescMessage): boolean => schema.typeName.startsWith('google.protobuf.');

/** `stopped_due_to_idle` for JOB_STATUS_STOPPED_DUE_TO_IDLE. */
function enumWord(schema: DescEnum, name: string): string {
  return (schema.values.find((value) => value.name === name)?.localName ?? name).toLowerCase();
}

function safeInteger(field: DescField, value: Json): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw new RangeError(`${field.parent.typeName}.${field.name} is ${String(value)}, beyond 2^53-1`);
}
