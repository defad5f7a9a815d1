/**
 * The one pipeline behind every surface: authenticate, scope, validate, Idempotency-Key, handler.
 * Promise: a handler sees only requests that satisfy their contract, from callers that may make them.
 */
import type { DescService, Message, MessageInitShape, MessageValidType } from '@bufbuild/protobuf';
import { createValidator } from '@bufbuild/protovalidate';
import { type Operation, readOperations } from './contract.ts';
import { fingerprintOf } from './fingerprint.ts';
import { refuse, refuseInvalid, type Violation } from './refusal.ts';
import { violationsOf } from './rule-violations.ts';

/** Who asks. */
export interface Principal {
  id: string;
  /** Id of the API key. */
  keyId: string;
  scopes: ReadonlySet<string>;
}

/** What a surface knows about one request besides its message. */
export interface Incoming {
  requestId: string;
  /** Value of the header Idempotency-Key. */
  idempotencyKey: string | undefined;
  /** Bytes of a raw request, limited by the surface. */
  body?: AsyncIterable<Uint8Array>;
  /** Aborts when the caller has gone. */
  signal: AbortSignal;
  remoteIsLoopback: boolean;
  /** Host as the caller names it. */
  host: string;
  /** Path and query as the caller named them. */
  target: string;
  /** Value of the header PAYMENT-SIGNATURE. @errors INVALID_REQUEST when it is longer than a payment can be */
  paymentSignature: string | undefined;
  setHeader(name: string, value: string): void;
}

/** What a handler knows about the call. */
export interface Call extends Omit<Incoming, 'idempotencyKey'> {
  /** Present unless the method is public. */
  principal?: Principal;
  /** 1 to 255 visible ASCII characters for every mutation that is not public; otherwise what was sent, or empty. */
  idempotencyKey: string;
  /** Hex SHA-256 of method and request message. The bytes of a raw body are not in it. */
  fingerprint: string;
}

/** Answer of a method whose response is bytes. */
export interface RawReply {
  stream: AsyncIterable<Uint8Array>;
  headers?: Readonly<Record<string, string>>;
}

type Answer<T> = T | RawReply | Promise<T | RawReply>;

/** What a service must provide: a missing or mistyped method does not compile. */
export type Handlers<S extends DescService> = {
  [K in keyof S['method']]: (
    request: MessageValidType<S['method'][K]['input']>,
    call: Call,
  ) => Answer<MessageInitShape<S['method'][K]['output']>>;
};

type Handler = (request: unknown, call: Call) => Answer<Record<string, unknown>>;

/** A service with its handlers. */
export interface Implementation {
  service: DescService;
  handlers: Readonly<Record<string, Handler>>;
}

/** Binds handlers to a service of the contract. */
export const implement = <S extends DescService>(service: S, handlers: Handlers<S>): Implementation => ({
  service,
  handlers: handlers as unknown as Record<string, Handler>,
});

/** Whose API key this is; undefined for an unknown, revoked or expired one. */
export type Authenticate = (token: string) => Principal | undefined | Promise<Principal | undefined>;

export interface DispatchOptions {
  implementations: readonly Implementation[];
  authenticate: Authenticate;
}

/** Who calls; undefined for a public method. */
export type Admitted = Principal | undefined;

export interface Dispatch {
  readonly operations: readonly Operation[];
  /**
   * Who calls, and whether they may; before anything of the request is read.
   * @errors CREDENTIAL_MISSING, CREDENTIAL_REFUSED, SCOPE_MISSING
   */
  admit(operation: Operation, authorization: string | undefined): Admitted | Promise<Admitted>;
  /** What the contract's rules say against a message; empty when nothing. */
  violationsIn(operation: Operation, request: Message): Violation[];
  /** Validates and runs; gives what the handler gave. @errors INVALID_REQUEST, IDEMPOTENCY_KEY_MISSING, and what the handler throws */
  run(
    operation: Operation,
    principal: Principal | undefined,
    request: Message,
    incoming: Incoming,
  ): Promise<Readonly<Record<string, unknown>> | RawReply>;
}

const KEY_PATTERN = /^[\x21-\x7e]{1,255}$/;
const BEARER_PATTERN = /^Bearer +([\x21-\x7e]{1,4096})$/i;

/** @errors throws TypeError for a contract that cannot be served or a method without a handler */
export function createDispatch({ implementations, authenticate }: DispatchOptions): Dispatch {
  const operations = readOperations(implementations.map(({ service }) => service));
  const handlers = new Map<Operation, Handler>();
  for (const operation of operations) handlers.set(operation, handlerOf(implementations, operation));
  const validator = createValidator();
  const violationsIn = ({ method }: Operation, request: Message): Violation[] => {
    const result = validator.validate(method.input, request);
    if (result.kind === 'error') throw result.error;
    return result.kind === 'invalid' ? violationsOf(result.violations) : [];
  };
  return {
    operations,
    violationsIn,
    admit: (operation, authorization) => admit(operation, authorization, authenticate),
    async run(operation, principal, request, incoming) {
      const violations = violationsIn(operation, request);
      if (violations.length > 0) throw refuseInvalid(violations);
      const call = callOf(operation, principal, request, incoming);
      const answer = await handlers.get(operation)!(request, call);
      return operation.rawResponseType === undefined ? answer : rawReply(operation, answer);
    },
  };
}

function handlerOf(implementations: readonly Implementation[], { method, name }: Operation): Handler {
  const owner = implementations.find(({ service }) => service === method.parent);
  const handler = owner?.handlers[method.localName];
  if (!owner || !handler) throw new TypeError(`${name} has no handler`);
  return (request, call) => handler.call(owner.handlers, request, call);
}

/** Without a wait where `authenticate` needs none. */
function admit(
  operation: Operation,
  authorization: string | undefined,
  authenticate: Authenticate,
): Admitted | Promise<Admitted> {
  if (operation.isPublic) return undefined;
  if (authorization === undefined) throw refuse('CREDENTIAL_MISSING');
  const token = BEARER_PATTERN.exec(authorization)?.[1];
  const principal = token === undefined ? undefined : authenticate(token);
  return principal instanceof Promise
    ? principal.then((known) => scoped(operation, known))
    : scoped(operation, principal);
}

function scoped({ scopes }: Operation, principal: Admitted): Principal {
  if (!principal) throw refuse('CREDENTIAL_REFUSED');
  for (const scope of scopes)
    if (!principal.scopes.has(scope))
      throw refuse('SCOPE_MISSING', { missing: scopes.filter((other) => !principal.scopes.has(other)) });
  return principal;
}

/** A class, because what few handlers look at (a signal, an address) is made only when it is asked for. */
class OpenCall implements Call {
  readonly #incoming: Incoming;
  readonly idempotencyKey: string;
  readonly fingerprint: string;
  declare readonly principal?: Principal;
  declare readonly body?: AsyncIterable<Uint8Array>;

  constructor(incoming: Incoming, principal: Admitted, fingerprint: string) {
    this.#incoming = incoming;
    this.idempotencyKey = incoming.idempotencyKey ?? '';
    this.fingerprint = fingerprint;
    if (principal) this.principal = principal;
    if (incoming.body) this.body = incoming.body;
  }

  get requestId(): string {
    return this.#incoming.requestId;
  }

  get signal(): AbortSignal {
    return this.#incoming.signal;
  }

  get remoteIsLoopback(): boolean {
    return this.#incoming.remoteIsLoopback;
  }

  get host(): string {
    return this.#incoming.host;
  }

  get target(): string {
    return this.#incoming.target;
  }

  get paymentSignature(): string | undefined {
    return this.#incoming.paymentSignature;
  }

  setHeader(name: string, value: string): void {
    this.#incoming.setHeader(name, value);
  }
}

function callOf(operation: Operation, principal: Admitted, request: Message, incoming: Incoming): Call {
  const key = incoming.idempotencyKey;
  const isNeeded = !operation.isReadOnly && !operation.isPublic;
  if ((isNeeded || key !== undefined) && !KEY_PATTERN.test(key ?? '')) throw refuse('IDEMPOTENCY_KEY_MISSING');
  return new OpenCall(incoming, principal, fingerprintOf(operation.name, operation.method.input, request));
}

function rawReply(operation: Operation, answer: RawReply | Record<string, unknown>): RawReply {
  if ('stream' in answer) return answer as RawReply;
  throw new TypeError(`${operation.name} answers with bytes, but its handler returned no stream`);
}
