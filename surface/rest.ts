/**
 * Serves the operations of a dispatch as HTTP routes.
 * Promise: every answer that is not the method's own is a problem; nothing of a request is read before its caller is known.
 */
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import Fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
} from 'fastify';
import { discardLeftOver, limitedBody } from './body.ts';
import { boundClose } from './bounded-close.ts';
import type { Operation, Route } from './contract.ts';
import type { Admitted, Dispatch, Incoming, RawReply } from './dispatch.ts';
import { type LogFault, type ProblemAnswer, problemOfThrown } from './problem.ts';
import { type ApiRefusal, refuse, refuseInvalid } from './refusal.ts';
import { PAYMENT_CHARS_MAX } from './request-limits.ts';
import { readRequest } from './request-reader.ts';
import { restWriter } from './rest-text.ts';

export const JSON_BODY_BYTES_MAX = 2 * 1024 * 1024;
export const RAW_BODY_BYTES_MAX = 2 * 1024 * 1024 * 1024;
const PATH_SEGMENT_CHARS_MAX = 256;

export interface RestOptions {
  /** Where unexpected exceptions go. */
  log: LogFault;
  jsonBodyBytesMax?: number;
  rawBodyBytesMax?: number;
}

const TRACE_PARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The caller's W3C trace id, or a new one. */
function traceIdOf(request: { headers: Record<string, string | string[] | undefined> }): string {
  const told = TRACE_PARENT.exec(String(request.headers['traceparent'] ?? ''))?.[1];
  return told ?? freshTraceId();
}

const TRACE_ID_BYTES = 16;
const TRACE_IDS_AT_ONCE = 256;
let randomPool = '';
let poolAt = 0;

/** Asking the system for random bytes costs more than all the rest of this, so many ids are made at once. */
function freshTraceId(): string {
  if (poolAt === randomPool.length) {
    randomPool = randomBytes(TRACE_ID_BYTES * TRACE_IDS_AT_ONCE).toString('hex');
    poolAt = 0;
  }
  const startsAt = poolAt;
  poolAt += TRACE_ID_BYTES * 2;
  return randomPool.slice(startsAt, poolAt);
}

/** Settings without which Fastify answers some requests by itself, without a problem body. */
const serverOptions = (log: LogFault): FastifyServerOptions => ({
  logger: false,
  genReqId: traceIdOf,
  routerOptions: { maxParamLength: PATH_SEGMENT_CHARS_MAX, querystringParser: () => ({}) },
  frameworkErrors: (fault, request, reply) => sendThrown(reply, request, refusalOf(fault, request), log),
});

/** A Fastify server set up for `registerRest`. */
export function createRestServer(log: LogFault): FastifyInstance {
  const app = Fastify(serverOptions(log)) as FastifyInstance;
  boundClose(app);
  return app;
}

/** Adds a route for every HTTP binding of the dispatch's operations, and an OPTIONS answer for each path. */
export function registerRest(app: FastifyInstance, dispatch: Dispatch, options: RestOptions): void {
  const { log } = options;
  app.setNotFoundHandler((request, reply) => sendThrown(reply, request, routeNotFound(request), log));
  app.setErrorHandler<FastifyError>((fault, request, reply) =>
    sendThrown(reply, request, refusalOf(fault, request), log),
  );
  app.addHook('onRequest', (request, reply, done) => {
    reply
      .header('trace-id', request.id)
      .header('cache-control', 'no-store')
      .header('x-content-type-options', 'nosniff');
    done();
  });
  void app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
    addRoutes(scope, dispatch, options, (operation) => !operation.rawRequest);
    addOptions(scope, dispatch);
    done();
  });
  void app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
    addRoutes(scope, dispatch, options, (operation) => operation.rawRequest);
    done();
  });
}

/** `/v1/jobs/{id}` as Fastify spells it. */
const fastifyPath = (template: string): string => template.replace(/\{([^}]+)\}/g, ':$1');

function addRoutes(
  app: FastifyInstance,
  dispatch: Dispatch,
  options: RestOptions,
  isWanted: (operation: Operation) => boolean,
): void {
  app.decorateRequest(ADMITTED, undefined);
  for (const operation of dispatch.operations.filter(isWanted))
    for (const route of operation.routes)
      app.route({
        method: route.verb,
        url: fastifyPath(route.template),
        bodyLimit: options.jsonBodyBytesMax ?? JSON_BODY_BYTES_MAX,
        onRequest: (request, _reply, done) => admit(dispatch, operation, request as Asking, done),
        handler: (request, reply) => answer({ dispatch, operation, route, request: request as Asking, reply, options }),
      });
}

/** Where a request keeps who sent it. */
const ADMITTED = Symbol('admitted');
type Asking = FastifyRequest & { [ADMITTED]: Admitted };

/** Answers at once when nobody needs to be waited for. */
function admit(dispatch: Dispatch, operation: Operation, request: Asking, done: (fault?: Error) => void): void {
  try {
    const admitted = dispatch.admit(operation, request.headers.authorization);
    if (admitted instanceof Promise) {
      admitted.then((principal) => {
        request[ADMITTED] = principal;
        done();
      }, done);
      return;
    }
    request[ADMITTED] = admitted;
    done();
  } catch (fault) {
    done(fault as Error);
  }
}

/** OPTIONS tells the verbs of a path; it says nothing to other origins. */
function addOptions(app: FastifyInstance, dispatch: Dispatch): void {
  const verbs = new Map<string, Set<string>>();
  for (const route of dispatch.operations.flatMap((operation) => operation.routes)) {
    const path = fastifyPath(route.template);
    const known = verbs.get(path) ?? new Set(['OPTIONS']);
    verbs.set(path, known.add(route.verb));
    if (route.verb === 'GET') known.add('HEAD');
  }
  for (const [url, known] of verbs) {
    const allow = [...known].sort().join(', ');
    app.options(url, (_request, reply) => reply.code(204).header('allow', allow).send());
  }
}

/** One request on its way to an answer. */
interface Exchange {
  dispatch: Dispatch;
  operation: Operation;
  route: Route;
  request: Asking;
  reply: FastifyReply;
  options: RestOptions;
}

async function answer(exchange: Exchange): Promise<FastifyReply> {
  const { dispatch, operation, route, request, reply } = exchange;
  const asked = {
    path: request.params as Record<string, string>,
    query: queryOf(request),
    body: operation.rawRequest ? undefined : (request.body as Uint8Array | undefined),
  };
  const message = readRequest(operation, route, asked, dispatch.violationsIn);
  if (operation.rawRequest) discardLeftOver(request.raw, reply.raw);
  const result = await dispatch.run(operation, request[ADMITTED], message, new Arrived(exchange));
  if (operation.rawResponseType !== undefined) return sendRaw(exchange, operation.rawResponseType, result as RawReply);
  return reply
    .type('application/json')
    .send(restWriter(operation.method.output)(result as Readonly<Record<string, unknown>>));
}

const NO_QUERY = new URLSearchParams();

function queryOf(request: FastifyRequest): URLSearchParams {
  const start = request.url.indexOf('?');
  return start < 0 ? NO_QUERY : new URLSearchParams(request.url.slice(start + 1));
}

/** A class, so that what hardly any handler asks for is not made for every request. */
class Arrived implements Incoming {
  readonly #exchange: Exchange;
  #signal: AbortSignal | undefined;
  declare readonly body?: AsyncIterable<Uint8Array>;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
    const { operation, request, options } = exchange;
    if (operation.rawRequest) this.body = limitedBody(request.raw, options.rawBodyBytesMax ?? RAW_BODY_BYTES_MAX);
  }

  get requestId(): string {
    return this.#exchange.request.id;
  }

  get idempotencyKey(): string | undefined {
    const key = this.#exchange.request.headers['idempotency-key'];
    return key === undefined ? undefined : String(key);
  }

  get signal(): AbortSignal {
    this.#signal ??= signalOf(this.#exchange.reply);
    return this.#signal;
  }

  get remoteIsLoopback(): boolean {
    return isLoopback(this.#exchange.request.raw.socket.remoteAddress);
  }

  get host(): string {
    return this.#exchange.request.headers.host ?? '';
  }

  get target(): string {
    return this.#exchange.request.url;
  }

  get paymentSignature(): string | undefined {
    const text = this.#exchange.request.headers['payment-signature'];
    if (text === undefined) return undefined;
    if (text.length <= PAYMENT_CHARS_MAX) return String(text);
    const detail = `the header PAYMENT-SIGNATURE has more than ${PAYMENT_CHARS_MAX} characters`;
    throw refuseInvalid([{ pointer: '', detail, rule: 'http.payment_signature' }]);
  }

  setHeader(name: string, value: string): void {
    void this.#exchange.reply.header(name, value);
  }
}

const isLoopback = (address: string | undefined): boolean =>
  address !== undefined && /^(::ffff:)?127\.|^::1$/.test(address);

/** Aborts when the connection closes before the answer was sent, or has closed already. */
function signalOf({ raw }: FastifyReply): AbortSignal {
  const controller = new AbortController();
  const abortUnanswered = (): void => {
    if (!raw.writableFinished) controller.abort();
  };
  if (raw.closed) abortUnanswered();
  else raw.once('close', abortUnanswered);
  return controller.signal;
}

async function sendRaw(
  { request, reply }: Exchange,
  mediaType: string,
  { stream, headers }: RawReply,
): Promise<FastifyReply> {
  reply.type(mediaType).headers(headers ?? {});
  if (request.method !== 'HEAD') return reply.send(Readable.from(stream, { objectMode: false }));
  await stream[Symbol.asyncIterator]().return?.();
  return reply.send();
}

const pathOf = (request: FastifyRequest): string => request.url.split('?', 1)[0] ?? '';

const routeNotFound = (request: FastifyRequest): ApiRefusal =>
  refuse('ROUTE_NOT_FOUND', { method: request.method, path: pathOf(request) });

/** Fastify's own complaints as refusals; anything else as it is. */
function refusalOf(fault: unknown, request: FastifyRequest): unknown {
  const { code, message } = fault as Partial<FastifyError>;
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return refuse('BODY_TOO_LARGE', { cap_bytes: request.routeOptions?.bodyLimit ?? JSON_BODY_BYTES_MAX });
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return refuseInvalid([{ pointer: '', detail: 'the body must be application/json', rule: 'http.content_type' }]);
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return refuseInvalid([{ pointer: '', detail: message ?? '', rule: 'http.content_length' }]);
    case 'FST_ERR_BAD_URL':
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return routeNotFound(request);
    default:
      return fault;
  }
}

function sendThrown(reply: FastifyReply, request: FastifyRequest, thrown: unknown, log: LogFault): FastifyReply {
  return sendProblem(reply, problemOfThrown(thrown, request.id, log));
}

function sendProblem(reply: FastifyReply, { status, headers, body }: ProblemAnswer): FastifyReply {
  return reply.code(status).headers(headers).send(JSON.stringify(body));
}
