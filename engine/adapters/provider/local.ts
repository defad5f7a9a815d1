/**
 * The provider on this machine: a client of its warden's unix socket.
 * Promise: it holds the key that allows calls, never the one that sells minutes; each request carries its own ticket.
 */
import { randomUUID } from 'node:crypto';
import { Agent, type IncomingMessage, request } from 'node:http';
import { type Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CALLER_TICKET_TYPE, type Envelope, type SigningKey, signEnvelope } from '@tallystick/kernel';
import { egressCalls } from './local-egress.ts';
import { pathCalls, watchCalls } from './local-paths.ts';
import { dialWarden } from './local-port.ts';
import { secretCalls } from './local-secrets.ts';
import { snapshotCalls } from './local-snapshots.ts';
import { type Body, type FactValue, type OutputPage, type Provider, ProviderFault } from './port.ts';

export interface LocalProviderOptions {
  socketPath: string;
  /** Signs caller tickets; the warden was given its public half. */
  callerKey: SigningKey;
  /** The warden's public key in base64, as its ready line says; asked from the warden when absent. */
  audience?: string;
  nowMs?: () => number;
}

const CONNECTIONS_MAX = 64;
/** On top of what a call asked to wait. */
const ANSWER_MS_MAX = 30_000;
const STREAM_IDLE_MS_MAX = 120_000;
const TICKET_MS = 120_000;
const TICKET_RENEWED_BEFORE_MS = 30_000;
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;
const GONE_STATUS = new Set([404, 410]);

type Verb =
  | 'create'
  | 'renew'
  | 'finish'
  | 'read'
  | 'exec'
  | 'put'
  | 'get'
  | 'release'
  | 'dial'
  | 'snapshot'
  | 'egress';

interface Ask {
  verb: Verb;
  sandbox: string;
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  path: string;
  query?: Record<string, string | number | undefined>;
  headers?: Record<string, string>;
  json?: object;
  body?: Body;
  waitMs?: number;
}

const unreachable = (cause: Error): ProviderFault =>
  new ProviderFault('unreachable', 'unreachable', `the warden does not answer: ${cause.message}`);

function pathOf(ask: Ask): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(ask.query ?? {})) if (value !== undefined) query.set(name, String(value));
  return query.size === 0 ? ask.path : `${ask.path}?${query}`;
}

async function bytesOf(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    total += chunk.length;
    if (total > ANSWER_BYTES_MAX) throw new Error(`an answer of more than ${ANSWER_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function faultOf(response: IncomingMessage): Promise<ProviderFault> {
  const status = response.statusCode ?? 0;
  const { code, detail, ...facts } = JSON.parse((await bytesOf(response)).toString()) as Record<string, FactValue>;
  const kind = GONE_STATUS.has(status) ? 'gone' : status >= 500 ? 'unreachable' : 'refused';
  return new ProviderFault(kind, String(code), String(detail), facts);
}

function streamOf(ask: Ask): Readable {
  if (ask.json) return Readable.from([Buffer.from(JSON.stringify(ask.json))]);
  if (!ask.body) return Readable.from([]);
  return ask.body instanceof Uint8Array ? Readable.from([ask.body]) : Readable.from(ask.body);
}

/** Sends the request; resolves with the response's head, whatever its status. */
function exchange(agent: Agent, socketPath: string, ask: Ask, authorization: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { authorization, ...ask.headers };
    const sent = request({ agent, socketPath, method: ask.method, path: pathOf(ask), headers }, resolve);
    const isStream = ask.body !== undefined || ask.verb === 'get';
    sent.setTimeout(isStream ? STREAM_IDLE_MS_MAX : ANSWER_MS_MAX + (ask.waitMs ?? 0), () =>
      sent.destroy(new Error('no answer in time')),
    );
    sent.once('error', reject);
    if (!ask.json && !ask.body) return void sent.end();
    // A refusal may come before the body is sent; then the response counts, not the broken pipe.
    pipeline(streamOf(ask), sent).catch((fault) => setImmediate(() => reject(fault)));
  });
}

/** Mints tickets that live for two minutes and renews them while they still hold. */
function ticketsFor(options: LocalProviderOptions, audience: () => Promise<string>) {
  const held = new Map<string, { header: string; goodUntilMs: number }>();
  const nowMs = options.nowMs ?? Date.now;
  return async (verb: Verb, sandbox: string): Promise<string> => {
    const key = `${verb} ${sandbox}`;
    const known = held.get(key);
    if (known && known.goodUntilMs > nowMs()) return known.header;
    if (held.size > 1_000) held.clear();
    const aud = await audience();
    const exp_us = String(Math.round((nowMs() + TICKET_MS) * 1_000));
    const ticket = { aud, sandbox, incarnation: 0, verbs: [verb], exp_us, jti: randomUUID() };
    const envelope = signEnvelope(CALLER_TICKET_TYPE, ticket, options.callerKey);
    const header = `Tally ${Buffer.from(JSON.stringify(envelope)).toString('base64')}`;
    held.set(key, { header, goodUntilMs: nowMs() + TICKET_MS - TICKET_RENEWED_BEFORE_MS });
    return header;
  };
}

/** The three ways to ask: for an answer in JSON, for a stream, and without a ticket. */
function wire(options: LocalProviderOptions) {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS_MAX });
  let audience = options.audience;
  const askAudience = async (): Promise<string> => {
    if (audience !== undefined) return audience;
    const health: Ask = { verb: 'read', sandbox: '*', method: 'GET', path: '/v1/health' };
    const response = await exchange(agent, options.socketPath, health, '');
    audience = String(JSON.parse((await bytesOf(response)).toString()).public_key);
    return audience;
  };
  const ticket = ticketsFor(options, askAudience);
  const open = async (ask: Ask): Promise<IncomingMessage> => {
    let response: IncomingMessage;
    try {
      response = await exchange(agent, options.socketPath, ask, await ticket(ask.verb, ask.sandbox));
      if ((response.statusCode ?? 0) < 400) return response;
    } catch (fault) {
      throw unreachable(fault as Error);
    }
    throw await faultOf(response).catch(unreachable);
  };
  const answer = async <T>(ask: Ask): Promise<T> => {
    const response = await open(ask);
    try {
      return JSON.parse((await bytesOf(response)).toString()) as T;
    } catch (fault) {
      throw unreachable(fault as Error);
    }
  };
  const dial = async (sandbox: string, path: string): Promise<Duplex> => {
    const authorization = await ticket('dial', sandbox).catch((fault: Error) => Promise.reject(unreachable(fault)));
    return dialWarden({ socketPath: options.socketPath, path, authorization, faultOf, unreachable });
  };
  return { open, answer, dial, close: () => agent.destroy() };
}

type WirePage = Omit<OutputPage, 'chunks'> & { chunks: { stream: 1 | 2; cursor: number; bytes_base64: string }[] };

const pageOf = (page: WirePage): OutputPage => ({
  ...page,
  chunks: page.chunks.map(({ stream, cursor, bytes_base64 }) => {
    return { stream, cursor, bytes: Buffer.from(bytes_base64, 'base64') };
  }),
});

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const one = (sandbox: string): string => `/v1/sandboxes/${encodeURIComponent(sandbox)}`;
const ofExec = (sandbox: string, execId: string): string => `${one(sandbox)}/execs/${encodeURIComponent(execId)}`;
const all = { verb: 'read', sandbox: '*', method: 'GET' } as const;

type Wire = ReturnType<typeof wire>;

function sandboxCalls({ answer }: Wire) {
  return {
    descriptor: () => answer({ ...all, path: '/v1/descriptor' }),
    attestation: () => answer({ ...all, path: '/attestation' }),
    create: (spec, ticket: Envelope) => {
      const json = { ...spec, ticket };
      return answer({ verb: 'create', sandbox: spec.sandbox, method: 'POST', path: '/v1/sandboxes', json });
    },
    renew: (sandbox, ticket) =>
      answer({ verb: 'renew', sandbox, method: 'POST', path: `${one(sandbox)}/renew`, json: { ticket } }),
    finish: (sandbox, order) =>
      answer({ verb: 'finish', sandbox, method: 'POST', path: `${one(sandbox)}/finish`, json: order }),
    get: (sandbox) => answer({ verb: 'read', sandbox, method: 'GET', path: one(sandbox) }),
    list: async () => (await answer<{ sandboxes: [] }>({ ...all, path: '/v1/sandboxes' })).sandboxes,
    events: (after, waitMs) => answer({ ...all, path: '/v1/events', query: { after, wait_ms: waitMs }, waitMs }),
  } satisfies Partial<Provider>;
}

function execCalls({ answer }: Wire) {
  return {
    startExec: (sandbox, { stdin, ...spec }) => {
      const json = stdin ? { ...spec, stdin_base64: base64(stdin) } : spec;
      return answer({ verb: 'exec', sandbox, method: 'POST', path: `${one(sandbox)}/execs`, json });
    },
    getExec: (sandbox, execId, waitMs = 0) => {
      const query = { wait_ms: waitMs };
      return answer({ verb: 'read', sandbox, method: 'GET', path: ofExec(sandbox, execId), query, waitMs });
    },
    listExecs: async (sandbox) => {
      const path = `${one(sandbox)}/execs`;
      return (await answer<{ execs: [] }>({ verb: 'read', sandbox, method: 'GET', path })).execs;
    },
    output: async (sandbox, execId, { after, waitMs = 0, maxBytes } = {}) => {
      const path = `${ofExec(sandbox, execId)}/output`;
      const query = { after, wait_ms: waitMs, max_bytes: maxBytes };
      return pageOf(await answer<WirePage>({ verb: 'read', sandbox, method: 'GET', path, query, waitMs }));
    },
    signalExec: (sandbox, execId, signal) => {
      const path = `${ofExec(sandbox, execId)}/signal`;
      return answer({ verb: 'exec', sandbox, method: 'POST', path, json: { signal } });
    },
    writeStdin: (sandbox, execId, bytes, end, place = undefined) => {
      const path = `${ofExec(sandbox, execId)}/stdin`;
      const json = { bytes_base64: base64(bytes), end, ...place };
      return answer({ verb: 'exec', sandbox, method: 'POST', path, json });
    },
    resizeExec: (sandbox, execId, size) =>
      answer({ verb: 'exec', sandbox, method: 'POST', path: `${ofExec(sandbox, execId)}/resize`, json: size }),
  } satisfies Partial<Provider>;
}

function fileCalls({ answer, open }: Wire) {
  return {
    putFile: (sandbox, path, body, sha256, bytes = body instanceof Uint8Array ? body.length : undefined) => {
      const headers: Record<string, string> = {
        ...(sha256 === undefined ? {} : { 'x-sha256': sha256 }),
        ...(bytes === undefined ? {} : { 'x-bytes': String(bytes) }),
      };
      const ask = { verb: 'put', sandbox, method: 'PUT', path: `${one(sandbox)}/files` } as const;
      return answer({ ...ask, query: { path }, headers, body });
    },
    putTree: (sandbox, path, body, bytes) => {
      const headers: Record<string, string> = bytes === undefined ? {} : { 'x-bytes': String(bytes) };
      return answer({
        verb: 'put',
        sandbox,
        method: 'PUT',
        path: `${one(sandbox)}/tree`,
        query: { path },
        headers,
        body,
      });
    },
    getFile: (sandbox, path, range) => {
      const headers: Record<string, string> = range ? { range: `bytes=${range.start}-${range.end ?? ''}` } : {};
      return open({ verb: 'get', sandbox, method: 'GET', path: `${one(sandbox)}/files`, query: { path }, headers });
    },
    getTree: (sandbox, path) =>
      open({ verb: 'get', sandbox, method: 'GET', path: `${one(sandbox)}/tree`, query: { path } }),
    listFiles: (sandbox, path) =>
      answer({ verb: 'get', sandbox, method: 'GET', path: `${one(sandbox)}/list`, query: { path } }),
  } satisfies Partial<Provider>;
}

/** @errors every method rejects with ProviderFault only */
export function localProvider(options: LocalProviderOptions): Provider {
  const calls = wire(options);
  return {
    ...sandboxCalls(calls),
    ...execCalls(calls),
    ...fileCalls(calls),
    ...pathCalls(calls.answer, one),
    ...watchCalls(calls.answer, one),
    ...secretCalls(calls.answer),
    ...snapshotCalls(calls.answer),
    ...egressCalls(calls.answer, one),
    openPort: (sandbox, port) => calls.dial(sandbox, `${one(sandbox)}/ports/${port}`),
    close: async () => calls.close(),
  };
}
