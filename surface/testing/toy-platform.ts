/**
 * A platform of toy handlers behind the real surface: every service of the contract, nothing remembered but keys.
 * Promise: handlers count their calls, so that a test can show that a refused request changed nothing.
 */
import type { Message } from '@bufbuild/protobuf';
import type { FastifyInstance } from 'fastify';
import { ALL_SERVICES } from '../derive/services.ts';
import {
  type Call,
  createDispatch,
  createRestServer,
  type Dispatch,
  type Implementation,
  refuse,
  registerRest,
} from '../index.ts';

/** One call that reached a handler. */
export interface SeenCall {
  method: string;
  request: Message;
  call: Call;
  body: string;
}

export interface Toy extends AsyncDisposable {
  app: FastifyInstance;
  dispatch: Dispatch;
  seen: SeenCall[];
  faults: unknown[];
  /** Replaces the answer of one method, by its name. */
  answers: Map<string, (request: unknown, call: Call) => unknown>;
  url: string;
}

export const JSON_BODY_BYTES_MAX_TOY = 4096;
export const RAW_BODY_BYTES_MAX_TOY = 64 * 1024;

/** Tokens are `<name>` for every scope, or `<name>,<scope>,<scope>` for some. */
function principalOf(token: string, allScopes: ReadonlySet<string>) {
  const [name = '', ...scopes] = token.split(',');
  if (!name.startsWith('key')) return undefined;
  return { id: name, keyId: name, scopes: scopes.length === 0 ? allScopes : new Set(scopes) };
}

async function textOf(body: AsyncIterable<Uint8Array> | undefined): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body ?? []) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** Refuses a key that was used with another request, as the engine does. */
function checkKey(keys: Map<string, string>, call: Call): void {
  if (!call.principal || call.idempotencyKey === '') return;
  const key = `${call.principal.id} ${call.idempotencyKey}`;
  const first = keys.get(key);
  if (first === call.fingerprint) call.setHeader('idempotent-replayed', 'true');
  else if (first) throw refuse('IDEMPOTENCY_KEY_REUSED', { first_command: 'x', first_receipt: 'rcp_1' });
  keys.set(key, call.fingerprint);
}

export interface ToyOptions {
  listen?: boolean;
  /** Adds more routes. */
  describe?: (app: FastifyInstance, dispatch: Dispatch) => void;
}

export async function startToy({ listen = false, describe }: ToyOptions = {}): Promise<Toy> {
  const seen: SeenCall[] = [];
  const faults: unknown[] = [];
  const keys = new Map<string, string>();
  const answers: Toy['answers'] = new Map();
  const handle = async (method: string, isRaw: boolean, request: unknown, call: Call): Promise<never> => {
    const body = await textOf(call.body);
    seen.push({ method, request: request as Message, call, body });
    checkKey(keys, call);
    const answer = answers.get(method)?.(request, call) ?? (isRaw ? { stream: bytesOf('raw bytes') } : {});
    return (await answer) as never;
  };
  const implementations: Implementation[] = ALL_SERVICES.map((service) => ({
    service,
    handlers: Object.fromEntries(
      service.methods.map((method) => {
        const isRaw = method.output.name === 'DownloadFileResponse' || method.output.name === 'ExportReceiptsResponse';
        return [method.localName, (request: unknown, call: Call) => handle(method.name, isRaw, request, call)];
      }),
    ),
  }));
  const scopes = new Set<string>();
  const dispatch = createDispatch({ implementations, authenticate: (token) => principalOf(token, scopes) });
  for (const operation of dispatch.operations) for (const scope of operation.scopes) scopes.add(scope);
  const app = createRestServer((fault) => faults.push(fault));
  registerRest(app, dispatch, {
    log: (fault) => faults.push(fault),
    jsonBodyBytesMax: JSON_BODY_BYTES_MAX_TOY,
    rawBodyBytesMax: RAW_BODY_BYTES_MAX_TOY,
  });
  describe?.(app, dispatch);
  const url = listen ? await app.listen({ port: 0, host: '127.0.0.1' }) : '';
  if (!listen) await app.ready();
  return { app, dispatch, seen, faults, answers, url, [Symbol.asyncDispose]: () => app.close() };
}

export async function* bytesOf(...texts: string[]): AsyncGenerator<Uint8Array, void> {
  for (const text of texts) yield Buffer.from(text);
}
