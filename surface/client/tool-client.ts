/**
 * Calls operations by the name of their tool, with values spelled as on REST.
 * Promise: what cannot be sent is told as the platform would tell it; everything else is the platform's to judge.
 */
import type { DescMethod, DescService, Message } from '@bufbuild/protobuf';
import type { JsonObject } from '@tallystick/kernel';
import { type Operation, readOperations } from '../contract.ts';
import { readMessage } from '../message-reader.ts';
import { pointerTo, type Violation } from '../refusal.ts';
import { restPrinter } from '../rest-json.ts';
import { isNotBecauseOf, violationsOf } from '../rule-violations.ts';
import { refuseHere } from './api-error.ts';
import { type CallOptions, createRestClient, type RestClientOptions } from './rest-client.ts';

export interface ToolClient {
  /**
   * The answer as REST prints it.
   * @errors ApiError; TypeError for a tool that the contract does not have, or when the platform cannot be reached
   */
  call(name: string, input: JsonObject, options?: CallOptions): Promise<JsonObject>;
}

type Method = (request: Message, options?: CallOptions) => Promise<Message>;

/**
 * A client of every operation of these services that is a tool.
 * @example await createToolClient([JobService], { baseUrl, token }).call('job_get', { id });
 */
export function createToolClient(services: readonly DescService[], client: RestClientOptions): ToolClient {
  const tools = new Map(readOperations(services).map((operation) => [operation.tool?.name, operation] as const));
  const methods = new Map<DescService, Record<string, Method>>();
  for (const service of services) methods.set(service, createRestClient(service, client) as Record<string, Method>);
  const sendTo = ({ parent, localName }: DescMethod): Method | undefined => methods.get(parent)?.[localName];
  return {
    async call(name, input, options = {}) {
      const operation = tools.get(name);
      const send = operation && sendTo(operation.method);
      if (!operation || !send) throw new TypeError(`there is no tool ${name}`);
      const answer = await send(await readInput(operation, input), options);
      return restPrinter(operation.method.output)(answer);
    },
  };
}

/** @errors ApiError `invalid_request` with every violation, as the platform would tell them */
async function readInput({ method, routes }: Operation, input: JsonObject): Promise<Message> {
  const { message, violations } = readMessage(method.input, input);
  const told = new Set(violations.map(({ pointer }) => pointer));
  const missing = (routes[0]?.pathFields ?? []).flatMap((name): Violation[] => {
    const pointer = pointerTo('', name);
    const isThere = input[name] !== undefined && input[name] !== null && input[name] !== '';
    return isThere || told.has(pointer) ? [] : [{ pointer, detail: 'value is required', rule: 'required' }];
  });
  const unread = [...violations, ...missing];
  if (unread.length === 0) return message;
  // here, so that only who made a mistake waits for it
  const { createValidator } = await import('@bufbuild/protovalidate');
  const checked = createValidator().validate(method.input, message);
  const broken = checked.kind === 'invalid' ? violationsOf(checked.violations).filter(isNotBecauseOf(unread)) : [];
  throw refuseHere('INVALID_REQUEST', {
    facts: { errors: [...unread, ...broken].map((violation) => ({ ...violation })) },
  });
}
