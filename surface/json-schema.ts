/**
 * From a message descriptor and its rules to JSON Schema 2020-12 in the REST dialect.
 * Promise: what the schema accepts the rules accept, and the other way round; rules across fields stand in `x-rules`.
 */
import {
  type DescEnumValue,
  type DescField,
  type DescMessage,
  getOption,
  hasOption,
  ScalarType,
} from '@bufbuild/protobuf';
import {
  type FieldRules,
  field as fieldRulesOption,
  message as messageRulesOption,
} from '@bufbuild/protovalidate/gen/buf/validate/validate_pb.js';
import type { Json, JsonObject } from '@tallystick/kernel';
import { elementKind, enumWord, isInt64, isInt64Text, isSecret } from './rest-json.ts';

/** Comment of a message, field, method or service; undefined when there is none. */
export type Comment = (name: string) => string | undefined;

export interface SchemaOptions {
  /** Requests name what must be sent; answers carry every field. */
  direction: 'request' | 'answer';
  /** How a nested message is referred to. */
  refer(type: DescMessage): JsonObject;
  comment: Comment;
  /** Fields that do not stand in the body. */
  omit?: readonly string[];
}

/** FeatureSet.FieldPresence.IMPLICIT: the zero value is the absent value. */
const PRESENCE_IMPLICIT = 2;

export const fieldComment = (comment: Comment, field: DescField): string | undefined =>
  comment(`${field.parent.typeName}.${field.name}`);

/** Leaves out what is undefined. */
const compact = (members: Record<string, Json | undefined>): JsonObject =>
  Object.fromEntries(Object.entries(members).filter((entry): entry is [string, Json] => entry[1] !== undefined));

export function messageSchema(type: DescMessage, options: SchemaOptions): JsonObject {
  const fields = type.fields.filter((field) => !options.omit?.includes(field.name));
  const isAsked = options.direction === 'request';
  const required = fields.filter((field) => (isAsked ? isRequired(field) : !field.oneof)).map((field) => field.name);
  const rules = isAsked && hasOption(type, messageRulesOption) ? getOption(type, messageRulesOption).cel : [];
  return compact({
    type: 'object',
    description: options.comment(type.typeName),
    properties: Object.fromEntries(fields.map((field) => [field.name, propertySchema(field, options)])),
    required: required.length > 0 ? required : undefined,
    additionalProperties: false,
    allOf: oneofSchemas(type),
    'x-rules': rules.length > 0 ? rules.map(({ id, message, expression }) => ({ id, message, expression })) : undefined,
  });
}

/** At most one member of each oneof. */
function oneofSchemas(type: DescMessage): Json | undefined {
  const choices = type.oneofs.filter((oneof) => oneof.fields.length > 1);
  if (choices.length === 0) return undefined;
  return choices.map(({ fields }) => {
    const members = fields.map((field) => ({ required: [field.name] }));
    return { oneOf: [...members, { not: { anyOf: members } }] };
  });
}

function propertySchema(field: DescField, options: SchemaOptions): JsonObject {
  const description = fieldComment(options.comment, field);
  const schema = fieldSchema(field, options);
  const mayBeNull =
    options.direction === 'answer' && !field.oneof && isSingle(field) && field.presence !== PRESENCE_IMPLICIT;
  const writeOnly = isSecret(field) && options.direction === 'request' ? true : undefined;
  return compact({ description, ...(mayBeNull ? orNull(schema) : schema), writeOnly });
}

const isSingle = (field: DescField): boolean => field.fieldKind !== 'list' && field.fieldKind !== 'map';

const orNull = (schema: JsonObject): JsonObject =>
  typeof schema['type'] === 'string' && schema['enum'] === undefined
    ? { ...schema, type: [schema['type'], 'null'] }
    : { anyOf: [schema, { type: 'null' }] };

const rulesOf = (field: DescField): FieldRules | undefined =>
  hasOption(field, fieldRulesOption) ? getOption(field, fieldRulesOption) : undefined;

/** A field must be sent when its absence cannot pass its own rules. */
function isRequired(field: DescField): boolean {
  const rules = rulesOf(field);
  if (!rules || rules.required) return rules?.required ?? false;
  if (field.presence !== PRESENCE_IMPLICIT || field.oneof) return isSingle(field) ? false : needsElements(rules);
  const { type } = rules;
  if (type.case === 'string') return type.value.minLen > 0n || !new RegExp(type.value.pattern).test('');
  if (type.case === 'bytes') return type.value.minLen > 0n;
  if (type.case === 'repeated' || type.case === 'map') return needsElements(rules);
  if (type.case === 'enum') return type.value.notIn.includes(0);
  const { lower, isExclusive } = boundsOf(rules);
  return lower !== undefined && (isExclusive ? lower >= 0 : lower > 0);
}

const needsElements = ({ type }: FieldRules): boolean =>
  (type.case === 'repeated' && type.value.minItems > 0n) || (type.case === 'map' && type.value.minPairs > 0n);

/** An enum's values without those that the rules exclude. */
function allowedValues(field: DescField, rules: FieldRules | undefined): DescEnumValue[] {
  const excluded: readonly number[] = rules?.type.case === 'enum' ? rules.type.value.notIn : [];
  return field.enum!.values.filter(({ number }) => !excluded.includes(number));
}

/** Schema of one field, without its description. */
export function fieldSchema(field: DescField, options: SchemaOptions): JsonObject {
  const rules = rulesOf(field);
  if (field.fieldKind === 'list') return listSchema(field, options, rules);
  if (field.fieldKind === 'map') return mapSchema(field, options, rules);
  return elementSchema(field, options, rules);
}

const count = (value: bigint | undefined): number | undefined => (value ? Number(value) : undefined);

function listSchema(field: DescField, options: SchemaOptions, rules: FieldRules | undefined): JsonObject {
  const list = rules?.type.case === 'repeated' ? rules.type.value : undefined;
  return compact({
    type: 'array',
    items: elementSchema(field, options, list?.items),
    minItems: count(list?.minItems),
    maxItems: count(list?.maxItems),
    uniqueItems: list?.unique || undefined,
  });
}

function mapSchema(field: DescField, options: SchemaOptions, rules: FieldRules | undefined): JsonObject {
  const map = rules?.type.case === 'map' ? rules.type.value : undefined;
  const keys = map?.keys?.type.case === 'string' ? map.keys.type.value : undefined;
  return compact({
    type: 'object',
    additionalProperties: elementSchema(field, options, map?.values),
    propertyNames: keys?.pattern ? { pattern: keys.pattern } : undefined,
    minProperties: count(map?.minPairs),
    maxProperties: count(map?.maxPairs),
  });
}

function elementSchema(field: DescField, options: SchemaOptions, rules: FieldRules | undefined): JsonObject {
  const kind = elementKind(field);
  if (kind === 'message') return wellKnownSchema(field.message!) ?? options.refer(field.message!);
  if (kind === 'enum') return { type: 'string', enum: allowedValues(field, rules).map(enumWord) };
  return scalarSchema(field, field.scalar!, rules);
}

function scalarSchema(field: DescField, type: ScalarType, rules: FieldRules | undefined): JsonObject {
  if (type === ScalarType.BOOL) return { type: 'boolean' };
  if (type === ScalarType.STRING) return stringSchema(rules);
  if (type === ScalarType.BYTES) return bytesSchema(rules);
  if (isInt64(type) && isInt64Text(field)) return { type: 'string', pattern: '^-?[0-9]+$' };
  return numberSchema(type, rules);
}

function stringSchema(rules: FieldRules | undefined): JsonObject {
  const string = rules?.type.case === 'string' ? rules.type.value : undefined;
  return compact({
    type: 'string',
    minLength: count(string?.minLen),
    maxLength: count(string?.maxLen),
    pattern: string?.pattern || undefined,
    enum: string && string.in.length > 0 ? string.in : undefined,
  });
}

function bytesSchema(rules: FieldRules | undefined): JsonObject {
  const maxBytes = rules?.type.case === 'bytes' ? count(rules.type.value.maxLen) : undefined;
  const maxLength = maxBytes === undefined ? undefined : Math.ceil(maxBytes / 3) * 4;
  return compact({ type: 'string', contentEncoding: 'base64', maxLength });
}

const UNSIGNED: ReadonlySet<ScalarType> = new Set([
  ScalarType.UINT32,
  ScalarType.UINT64,
  ScalarType.FIXED32,
  ScalarType.FIXED64,
]);

interface Bound {
  case?: string | undefined;
  value?: number | bigint | undefined;
}

/** Bounds of a numeric rule, whatever its width. */
function boundsOf(rules: FieldRules | undefined): { lower?: number; isExclusive: boolean; upper: JsonObject } {
  const value = rules?.type.value as { greaterThan?: Bound; lessThan?: Bound } | undefined;
  const { greaterThan, lessThan } = value ?? {};
  const isExclusive = greaterThan?.case === 'gt';
  const upper =
    lessThan?.case === undefined
      ? {}
      : { [lessThan.case === 'lt' ? 'exclusiveMaximum' : 'maximum']: Number(lessThan.value) };
  return { ...(greaterThan?.case === undefined ? {} : { lower: Number(greaterThan.value) }), isExclusive, upper };
}

function numberSchema(type: ScalarType, rules: FieldRules | undefined): JsonObject {
  if (type === ScalarType.DOUBLE || type === ScalarType.FLOAT) return { type: 'number' };
  const { lower, isExclusive, upper } = boundsOf(rules);
  const floor = lower ?? (UNSIGNED.has(type) ? 0 : undefined);
  const minimum = floor === undefined ? {} : { [isExclusive ? 'exclusiveMinimum' : 'minimum']: floor };
  return { type: 'integer', format: isInt64(type) ? 'int64' : 'int32', ...minimum, ...upper };
}

function wellKnownSchema(type: DescMessage): JsonObject | undefined {
  switch (type.typeName) {
    case 'google.protobuf.Timestamp':
      return { type: 'string', format: 'date-time' };
    case 'google.protobuf.Duration':
      return { type: 'string', pattern: '^-?[0-9]+(\\.[0-9]{1,9})?s$' };
    case 'google.protobuf.Struct':
      return { type: 'object' };
    default:
      return undefined;
  }
}

/** A schema with nested messages in place, for consumers without references. @errors throws TypeError for recursion */
export function inlineSchema(type: DescMessage, direction: SchemaOptions['direction'], comment: Comment): JsonObject {
  const open: DescMessage[] = [];
  const inline = (nested: DescMessage): JsonObject => {
    if (open.includes(nested)) throw new TypeError(`${nested.typeName} contains itself`);
    open.push(nested);
    const schema = messageSchema(nested, { direction, comment, refer: inline });
    open.pop();
    return schema;
  };
  return inline(type);
}
