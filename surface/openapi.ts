/**
 * The OpenAPI 3.1 document of a list of operations.
 * Promise: says what the routes do, because both are read from the same operations.
 */
import type { DescMessage } from '@bufbuild/protobuf';
import type { Json, JsonObject } from '@tallystick/kernel';
import { ERROR_CATALOGUE, wireCode } from '@tallystick/proto';
import type { Operation, Route } from './contract.ts';
import { type Comment, fieldComment, fieldSchema, messageSchema, type SchemaOptions } from './json-schema.ts';
import { PROBLEM_MEDIA_TYPE } from './problem.ts';
import { PAYMENT_CHARS_MAX } from './request-limits.ts';

export interface OpenapiTitle {
  title: string;
  version: string;
  description?: string;
}

/** Messages that the document refers to, by their short names. */
type Components = Map<string, JsonObject>;

const schemaName = (type: DescMessage): string => type.typeName.split('.').at(-1) ?? type.typeName;

const serviceName = (operation: Operation): string => operation.method.parent.name.replace(/Service$/, '');

const byteBody: JsonObject = { schema: { type: 'string', format: 'binary' } };

export function openapiDocument(operations: readonly Operation[], info: OpenapiTitle, comment: Comment): JsonObject {
  const components: Components = new Map([['Problem', problemSchema()]]);
  const paths: Record<string, JsonObject> = {};
  for (const operation of operations)
    for (const [index, route] of operation.routes.entries()) {
      const path = paths[route.template] ?? {};
      paths[route.template] = path;
      path[route.verb.toLowerCase()] = operationObject(operation, route, index, components, comment);
    }
  const services = new Map(operations.map((operation) => [serviceName(operation), operation.method.parent.typeName]));
  return {
    openapi: '3.1.0',
    info: { license: { name: 'Apache-2.0', identifier: 'Apache-2.0' }, ...info },
    servers: [{ url: '/' }],
    tags: [...services].map(([name, typeName]) => ({ name, description: comment(typeName) ?? name })),
    paths,
    components: {
      schemas: Object.fromEntries([...components].sort(([left], [right]) => (left < right ? -1 : 1))),
      securitySchemes: { apiKey: { type: 'http', scheme: 'bearer' } },
    },
  };
}

function referTo(components: Components, comment: Comment, direction: SchemaOptions['direction']): SchemaOptions {
  const options: SchemaOptions = {
    direction,
    comment,
    refer(type) {
      const name = schemaName(type);
      if (!components.has(name)) {
        components.set(name, {});
        components.set(name, messageSchema(type, options));
      }
      return { $ref: `#/components/schemas/${name}` };
    },
  };
  return options;
}

function operationObject(
  operation: Operation,
  route: Route,
  index: number,
  components: Components,
  comment: Comment,
): JsonObject {
  const { method, tool } = operation;
  const description = comment(operation.name) ?? operation.name;
  const asked = { ...referTo(components, comment, 'request'), omit: route.pathFields };
  const body = requestBody(operation, route, asked);
  return {
    operationId: `${serviceName(operation)}_${method.name}${index === 0 ? '' : index}`,
    tags: [serviceName(operation)],
    summary: description.split(/(?<=[.;:])\s/)[0] ?? description,
    description,
    security: operation.isPublic ? [] : [{ apiKey: [] }],
    ...(operation.isPublic ? {} : { 'x-scopes': [...operation.scopes] }),
    ...(tool ? { 'x-tool': { ...tool } } : {}),
    parameters: parametersOf(operation, route, asked),
    ...(body ? { requestBody: body } : {}),
    responses: {
      200: {
        description: comment(method.output.typeName) ?? 'Done.',
        ...(operation.charges ? { headers: { 'PAYMENT-RESPONSE': textHeader(PAID) } } : {}),
        content: answerContent(operation, components, comment),
      },
      ...(operation.charges ? PAYMENT_ANSWERS : {}),
      default: { description: 'A problem.', content: problemContent },
    },
  };
}

const problemContent: JsonObject = { [PROBLEM_MEDIA_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } };
const textHeader = (description: string): JsonObject => ({ description, schema: { type: 'string' } });

const PAID = 'After a payment: which transaction paid (x402 v2, JSON in base64).';
const PAYMENT: JsonObject = {
  name: 'PAYMENT-SIGNATURE',
  in: 'header',
  required: false,
  description: 'A payment for the quote of a 402 (x402 v2, JSON in base64), sent with the same Idempotency-Key.',
  schema: { type: 'string', maxLength: PAYMENT_CHARS_MAX },
};
const PAYMENT_ANSWERS: JsonObject = {
  402: {
    description:
      'The balance is too small. Where payments are taken, the header and the members quote_id, expires_at and options say what can be paid.',
    headers: { 'PAYMENT-REQUIRED': textHeader('What can be paid (x402 v2, JSON in base64).') },
    content: problemContent,
  },
  503: {
    description:
      'The outcome is unknown, or a payment is under way: do not pay again, repeat with the same Idempotency-Key.',
    headers: { 'Retry-After': textHeader('Seconds.') },
    content: problemContent,
  },
};

function parametersOf(operation: Operation, route: Route, options: SchemaOptions): Json[] {
  const { fields } = operation.method.input;
  const inPath = route.pathFields.map((name) => {
    const field = fields.find((candidate) => candidate.name === name)!;
    return {
      name,
      in: 'path',
      required: true,
      description: fieldComment(options.comment, field) ?? name,
      schema: fieldSchema(field, options),
    };
  });
  const others = fields.filter((field) => !route.pathFields.includes(field.name));
  const required = messageSchema(operation.method.input, options)['required'] as string[] | undefined;
  const inQuery = (route.rest === 'query' ? others : []).map((field) => ({
    name: field.name,
    in: 'query',
    required: required?.includes(field.name) ?? false,
    description: fieldComment(options.comment, field) ?? field.name,
    schema: fieldSchema(field, options),
  }));
  const key = {
    name: 'Idempotency-Key',
    in: 'header',
    required: true,
    description: 'Same key and same request: same answer, done once.',
    schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[!-~]+$' },
  };
  const sent = operation.isReadOnly || operation.isPublic ? [] : [key];
  return [...inPath, ...inQuery, ...sent, ...(operation.charges ? [PAYMENT] : [])];
}

function requestBody(operation: Operation, route: Route, options: SchemaOptions): JsonObject | undefined {
  if (operation.rawRequest) return { required: true, content: { 'application/octet-stream': byteBody } };
  const schema = messageSchema(operation.method.input, options);
  if (route.rest === 'query' || Object.keys(schema['properties'] as JsonObject).length === 0) return undefined;
  return { required: schema['required'] !== undefined, content: { 'application/json': { schema } } };
}

function answerContent(operation: Operation, components: Components, comment: Comment): JsonObject {
  if (operation.rawResponseType !== undefined) return { [operation.rawResponseType]: byteBody };
  return { 'application/json': { schema: referTo(components, comment, 'answer').refer(operation.method.output) } };
}

function problemSchema(): JsonObject {
  const string = { type: 'string' };
  const violation = {
    type: 'object',
    required: ['pointer', 'detail', 'rule'],
    properties: { pointer: string, detail: string, rule: string },
  };
  const codes = Object.keys(ERROR_CATALOGUE) as (keyof typeof ERROR_CATALOGUE)[];
  return {
    type: 'object',
    description: 'RFC 9457 problem. Facts of the code stand beside these members.',
    required: ['type', 'title', 'status', 'code', 'detail', 'suggestion', 'trace_id'],
    properties: {
      type: string,
      title: string,
      status: { type: 'integer' },
      code: { type: 'string', enum: codes.map(wireCode) },
      detail: string,
      suggestion: string,
      trace_id: string,
      retry_after_ms: { type: 'integer' },
      errors: { type: 'array', items: violation },
    },
  };
}
