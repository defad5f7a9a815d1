/**
 * A typed client of the REST routes, for Node and browsers.
 * Promise: its methods are read from the contract, so a route cannot be misspelled; one call is one command, however often
 * it was sent.
 */
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescService,
  type Message,
  type MessageInitShape,
  type MessageShape,
  ScalarType,
  toJson,
} from '@bufbuild/protobuf';
import type { Json, JsonObject } from '@tallystick/kernel';
import { type Operation, type Route, readOperations } from '../contract.ts';
import { readMessage } from '../message-reader.ts';
import { readProblem } from './api-error.ts';
import { type PaidCall, type Payer, withPayments } from './paying.ts';
import { PAYMENT_RESPONSE_HEADER, PAYMENT_SIGNATURE_HEADER, type Payment, readPaymentResponse } from './payment.ts';
import { type RetryOptions, withRetries } from './retry.ts';

export interface RestClientOptions extends Pick<RetryOptions, 'attemptsMax' | 'onRetry'> {
  /** e.g. `http://127.0.0.1:4000`; a path in it is kept. */
  baseUrl: string;
  /** API key, or how to get it now. Never part of a URL. */
  token?: string | (() => string | undefined) | undefined;
  fetch?: typeof globalThis.fetch;
  /** Makes the key of a call that brings none. Default: a random UUID. */
  idempotencyKey?: () => string;
  /** Pays what a call needs, as far as it likes; absent: a call that lacks money is refused. */
  payer?: Payer | undefined;
  /** Hears of every payment that the platform took for a call. */
  onPayment?: ((payment: Payment) => void) | undefined;
}

export interface CallOptions {
  idempotencyKey?: string;
  signal?: AbortSignal;
  /** Sees the headers of the final answer, e.g. `idempotent-replayed`. */
  onHeaders?: (headers: Headers) => void;
}

/** Methods of a service whose bodies are JSON. */
export type RestClient<S extends DescService> = {
  [K in keyof S['method']]: (
    request: MessageInitShape<S['method'][K]['input']>,
    options?: CallOptions,
  ) => Promise<MessageShape<S['method'][K]['output']>>;
};

/** Bytes to send; a function makes them anew for every attempt, any other stream is sent once. */
export type UploadBody = Uint8Array | Blob | (() => AsyncIterable<Uint8Array>) | ReadableStream<Uint8Array>;

/** Bytes that arrive. */
export interface Download {
  stream: ReadableStream<Uint8Array>;
  headers: Headers;
}

/** A request that is ready to be sent, any number of times. */
interface Prepared {
  url: string;
  verb: string;
  headers: Headers;
  body?: () => Uint8Array | Blob | ReadableStream<Uint8Array> | string;
  options: CallOptions;
  client: RestClientOptions;
  /** Its body is gone once it was sent. */
  isOnce?: boolean;
}

/**
 * A client of one service.
 * @errors its methods throw ApiError for a problem, TypeError when the platform cannot be reached after all attempts
 * @example const jobs = createRestClient(JobService, { baseUrl, token }); await jobs.getJob({ id });
 */
export function createRestClient<S extends DescService>(service: S, client: RestClientOptions): RestClient<S> {
  const methods: Record<string, (request: never, options?: CallOptions) => Promise<Message>> = {};
  for (const operation of readOperations([service])) {
    const isJson = !operation.rawRequest && operation.rawResponseType === undefined;
    if (!isJson || operation.routes.length === 0) continue;
    methods[operation.method.localName] = async (request, options = {}) => {
      const prepared = prepare(operation, request, options, client);
      return exchange(prepared, (response) => readAnswer(operation.method.output, response, options));
    };
  }
  return methods as unknown as RestClient<S>;
}

/** Sends bytes to a method whose request is raw, e.g. `FileService.method.uploadFile`. @errors as `createRestClient` */
export async function upload<M extends DescMethod>(
  method: M,
  request: MessageInitShape<M['input']>,
  body: UploadBody,
  client: RestClientOptions,
  options: CallOptions = {},
): Promise<MessageShape<M['output']>> {
  const prepared = prepare(operationOf(method), request, options, client);
  prepared.isOnce = body instanceof ReadableStream;
  prepared.headers.set('content-type', 'application/octet-stream');
  prepared.body = () => (typeof body === 'function' ? streamOf(body()) : body);
  const answer = exchange(prepared, (response) => readAnswer(method.output, response, options));
  return answer as Promise<MessageShape<M['output']>>;
}

/** Receives the bytes of a method whose response is raw, e.g. `FileService.method.downloadFile`. @errors as `createRestClient` */
export async function download<M extends DescMethod>(
  method: M,
  request: MessageInitShape<M['input']>,
  client: RestClientOptions,
  options: CallOptions = {},
): Promise<Download> {
  return exchange(prepare(operationOf(method), request, options, client), (response) => {
    options.onHeaders?.(response.headers);
    return { stream: response.body ?? new Blob([]).stream(), headers: response.headers };
  });
}

function operationOf(method: DescMethod): Operation {
  const operation = readOperations([method.parent]).find((candidate) => candidate.method === method);
  if (!operation?.routes.length) throw new TypeError(`${method.name} has no route`);
  return operation;
}

const streamOf = (chunks: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> => ReadableStream.from(chunks);

function prepare(operation: Operation, request: unknown, options: CallOptions, client: RestClientOptions): Prepared {
  const { input } = operation.method;
  const route = operation.routes[0]!;
  const message = create(input, request as Record<string, unknown>);
  const fields = toJson(input, message, { useProtoFieldName: true }) as JsonObject;
  const path = pathOf(route, input, message, fields);
  const headers = new Headers({ accept: 'application/json, application/problem+json, */*' });
  if (!operation.isReadOnly)
    headers.set('idempotency-key', options.idempotencyKey ?? client.idempotencyKey?.() ?? crypto.randomUUID());
  const query = route.rest === 'query' ? queryOf(fields) : '';
  const base = client.baseUrl.replace(/\/+$/, '');
  const prepared: Prepared = { url: `${base}${path}${query}`, verb: route.verb, headers, options, client };
  if (route.rest !== 'body') return prepared;
  headers.set('content-type', 'application/json');
  const text = JSON.stringify(fields);
  return { ...prepared, body: () => text };
}

/** Fills the path and takes its fields out of `fields`. @errors throws TypeError when one is empty */
function pathOf({ template, pathFields }: Route, input: DescMessage, message: Message, fields: JsonObject): string {
  let path = template;
  for (const name of pathFields) {
    const field = input.fields.find((candidate) => candidate.name === name)!;
    const value = String((message as unknown as Record<string, unknown>)[field.localName] ?? '');
    if (value === '' && field.scalar === ScalarType.STRING) throw new TypeError(`${name} is needed`);
    delete fields[name];
    path = path.replace(`{${name}}`, encodeURIComponent(value));
  }
  return path;
}

function queryOf(fields: JsonObject): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(fields))
    for (const one of Array.isArray(value) ? value : [value]) query.append(name, String(one));
  return query.size > 0 ? `?${query}` : '';
}

const tokenOf = ({ token }: RestClientOptions): string | undefined => (typeof token === 'function' ? token() : token);

/** One call: all attempts and payments, the same key; an answer that breaks off is an attempt that failed. */
async function exchange<T>(prepared: Prepared, read: (response: Response) => T | Promise<T>): Promise<T> {
  const { headers, url, verb: method, isOnce, options, client } = prepared;
  const attemptsMax = isOnce ? 1 : client.attemptsMax;
  let taken: string | null = null;
  const attempt = async (): Promise<T> => {
    const response = await send(prepared);
    taken = response.headers.get(PAYMENT_RESPONSE_HEADER);
    return read(response);
  };
  const call = () => withRetries(attempt, { attemptsMax, onRetry: client.onRetry, signal: options.signal });
  const idempotencyKey = headers.get('idempotency-key') ?? '';
  const payer = isOnce || idempotencyKey === '' ? undefined : client.payer;
  const carry = (header: string): void => headers.set(PAYMENT_SIGNATURE_HEADER, header);
  const isFollowed = attemptsMax !== 1;
  const paid = { idempotencyKey, method, url, signal: options.signal, payer, carry, isFollowed };
  const answer = await withPayments(call, paid);
  await tellPayment(readPaymentResponse(taken, idempotencyKey), paid, client);
  return answer;
}

/** The call is done: who could not take note of its payment does not undo it. */
async function tellPayment(
  payment: Payment | undefined,
  call: PaidCall,
  { payer, onPayment }: RestClientOptions,
): Promise<void> {
  if (!payment) return;
  await payer?.settled?.(payment, call).catch(() => undefined);
  onPayment?.(payment);
}

async function send({ url, verb, headers, body, options, client }: Prepared): Promise<Response> {
  const token = tokenOf(client);
  if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
  const content = body?.();
  const init: RequestInit & { duplex?: 'half' } = {
    method: verb,
    headers,
    redirect: 'error',
    ...(options.signal ? { signal: options.signal } : {}),
    ...(content === undefined ? {} : { body: content as NonNullable<RequestInit['body']> }),
    ...(content instanceof ReadableStream ? { duplex: 'half' } : {}),
  };
  const response = await (client.fetch ?? fetch)(url, init);
  if (response.ok) return response;
  throw await readProblem(response);
}

async function readAnswer(type: DescMessage, response: Response, options: CallOptions): Promise<Message> {
  options.onHeaders?.(response.headers);
  const { message, violations } = readMessage(type, (await response.json()) as Json, 'ignore');
  const first = violations[0];
  if (first) throw new Error(`the platform's answer does not fit ${type.typeName}: ${first.pointer} ${first.detail}`);
  return message;
}
