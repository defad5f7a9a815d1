/**
 * Reads what every surface needs to know about a method out of its descriptor, once, at boot.
 * Promise: a method that does not say who may call it, or whose route is ambiguous, stops the boot.
 */
import { type DescMethod, type DescService, getOption, hasOption } from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel as IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import { authOption, chargesOption, rawOption, toolOption } from '@tallystick/proto';
import { http } from '@tallystick/proto/gen/google/api/annotations_pb.ts';
import type { HttpRule } from '@tallystick/proto/gen/google/api/http_pb.ts';

export type Verb = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** One way to reach a method over HTTP. */
export interface Route {
  verb: Verb;
  /** As in the contract: `/v1/jobs/{id}/extend`. */
  template: string;
  /** Field names in the template, in order. */
  pathFields: readonly string[];
  /** Where the fields that are not in the path come from. */
  rest: 'body' | 'query';
}

export interface Tool {
  name: string;
  destructive: boolean;
}

/** A method with everything its options say. */
export interface Operation {
  method: DescMethod;
  /** `tallystick.hosting.v1.JobService.CreateJob` */
  name: string;
  routes: readonly Route[];
  isPublic: boolean;
  scopes: readonly string[];
  /** Changes nothing; needs no Idempotency-Key. */
  isReadOnly: boolean;
  /** Answers 402 with a quote when money is missing, and takes its payment in a header. */
  charges: boolean;
  tool?: Tool;
  /** The request body is bytes, not JSON. */
  rawRequest: boolean;
  /** Media type when the response body is bytes, not JSON. */
  rawResponseType?: string;
}

const shapeOf = (route: Route): string => `${route.verb} ${route.template.replace(/\{[^}]*\}/g, '{}')}`;

/**
 * The operations of these services.
 * @errors throws TypeError naming the method: no auth, streaming, a duplicate route or tool, a bad template, or a verb that
 * disagrees with idempotency_level.
 */
export function readOperations(services: readonly DescService[]): Operation[] {
  const operations = services.flatMap((service) => service.methods.map(readOperation));
  const owners = new Map<string, string>();
  for (const operation of operations) {
    const names = operation.routes.map(shapeOf);
    if (operation.tool) names.push(`tool ${operation.tool.name}`);
    for (const name of names) {
      if (owners.has(name)) throw new TypeError(`${name} is declared by ${owners.get(name)} and by ${operation.name}`);
      owners.set(name, operation.name);
    }
  }
  return operations;
}

function readOperation(method: DescMethod): Operation {
  const name = `${method.parent.typeName}.${method.name}`;
  if (method.methodKind !== 'unary') throw new TypeError(`${name}: a streaming rpc; streams travel on /v1/live`);
  if (!hasOption(method, authOption)) throw new TypeError(`${name}: no auth option, so nobody knows who may call it`);
  const auth = getOption(method, authOption);
  if (auth.public === auth.scopes.length > 0)
    throw new TypeError(`${name}: auth must be public or name scopes, not both`);
  const raw = hasOption(method, rawOption) ? getOption(method, rawOption) : undefined;
  const operation: Operation = {
    method,
    name,
    routes: routesOf(method, name, raw?.request ?? false),
    isPublic: auth.public,
    scopes: auth.scopes,
    isReadOnly: method.idempotency === IdempotencyLevel.NO_SIDE_EFFECTS,
    charges: hasOption(method, chargesOption) && getOption(method, chargesOption),
    rawRequest: raw?.request ?? false,
    ...(raw?.response ? { rawResponseType: raw.responseType || 'application/octet-stream' } : {}),
    ...toolOf(method),
  };
  checkVerbs(operation);
  return operation;
}

function toolOf(method: DescMethod): { tool?: Tool } {
  if (!hasOption(method, toolOption)) return {};
  const { name, destructive } = getOption(method, toolOption);
  return { tool: { name, destructive } };
}

function checkVerbs(operation: Operation): void {
  for (const { verb } of operation.routes)
    if ((verb === 'GET') !== operation.isReadOnly)
      throw new TypeError(`${operation.name}: the verb ${verb} and idempotency_level disagree`);
}

function routesOf(method: DescMethod, name: string, rawRequest: boolean): Route[] {
  if (!hasOption(method, http)) return [];
  const rule = getOption(method, http);
  return [rule, ...rule.additionalBindings].map((binding) => routeOf(method, name, binding, rawRequest));
}

function routeOf(method: DescMethod, name: string, rule: HttpRule, rawRequest: boolean): Route {
  const { pattern } = rule;
  if (pattern.case === undefined || pattern.case === 'custom') throw new TypeError(`${name}: no known HTTP verb`);
  const template = pattern.value;
  if (!/^(\/([a-z0-9._-]+|\{[a-z0-9_]+\}))+$/.test(template))
    throw new TypeError(`${name}: only literal and {field} segments are supported, not ${template}`);
  const pathFields = [...template.matchAll(/\{([^}]*)\}/g)].map((match) => match[1] ?? '');
  for (const field of pathFields)
    if (method.input.fields.find((candidate) => candidate.name === field)?.fieldKind !== 'scalar')
      throw new TypeError(`${name}: the path variable {${field}} is not a scalar field of ${method.input.name}`);
  if (rule.body !== '' && rule.body !== '*') throw new TypeError(`${name}: body must be "*" or absent`);
  if (rule.responseBody) throw new TypeError(`${name}: response_body is not supported`);
  const verb = pattern.case.toUpperCase() as Verb;
  if (rule.body === '*' && (rawRequest || verb === 'GET'))
    throw new TypeError(`${name}: body "*" does not go with ${rawRequest ? 'raw' : verb}`);
  return { verb, template, pathFields, rest: rule.body === '*' ? 'body' : 'query' };
}
