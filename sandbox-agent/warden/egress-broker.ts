/**
 * The broker of one sandbox: a socket that only its programs can reach, where they ask for ways out.
 * Promise: garbage costs whoever sends it its own connection; nothing but an opened passage leads anywhere.
 */
import { chmodSync, chownSync, rmSync } from 'node:fs';
import {
  createServer as createHttpServer,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { isSocks, readSocks, SocksReply, socksAnswer, targetOfAuthority, targetOfUrl } from './egress-ask.ts';
import type { EgressMachine } from './egress-dial.ts';
import type { EgressFlow } from './egress-flow.ts';
import { type Gate, gateOf } from './egress-gate.ts';
import { type EgressPassages, isRefusal, type Refusal } from './egress-passages.ts';
import { forward, relay } from './egress-relay.ts';

/** Connections of one sandbox to its broker. */
export const EGRESS_CONNECTIONS_MAX = 128;
const HEAD_BYTES_MAX = 16 * 1024;
const TOO_MANY: ReadonlySet<string> = new Set(['too_many_requests', 'too_many_dials']);
const NO_ANSWER: Refusal = { outcome: 'failed', reason: 'no_answer', rule: null };

interface Problem {
  status: number;
  phrase: string;
  body: string;
}

function problemOf({ outcome, reason }: Refusal): Problem {
  const code = `egress_${outcome}`;
  const detail = outcome === 'denied' ? `this sandbox is not let out there: ${reason}` : `not reached: ${reason}`;
  const body = `${JSON.stringify({ code, reason, detail })}\n`;
  if (TOO_MANY.has(reason)) return { status: 429, phrase: 'Too Many Requests', body };
  if (reason === 'bad_target') return { status: 400, phrase: 'Bad Request', body };
  return outcome === 'denied'
    ? { status: 403, phrase: 'Forbidden', body }
    : { status: 502, phrase: 'Bad Gateway', body };
}

const problemHead = ({ body }: Problem): Record<string, string | number> => ({
  'content-type': 'application/problem+json',
  'content-length': Buffer.byteLength(body),
  connection: 'close',
});

function problemText(refusal: Refusal): string {
  const problem = problemOf(refusal);
  const head = Object.entries(problemHead(problem)).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${problem.status} ${problem.phrase}\r\n${head.join('')}\r\n${problem.body}`;
}

function sendProblem(response: ServerResponse, refusal: Refusal): void {
  const problem = problemOf(refusal);
  response.writeHead(problem.status, problemHead(problem)).end(problem.body);
}

export class EgressBroker {
  readonly #machine: EgressMachine;
  readonly #flow: EgressFlow;
  readonly #passages: EgressPassages;
  readonly #server: Server;
  readonly #http: HttpServer;
  readonly #gates = new Set<Gate>();
  readonly #gateOf = new WeakMap<Duplex, Gate>();

  constructor(machine: EgressMachine, flow: EgressFlow, passages: EgressPassages) {
    this.#machine = machine;
    this.#flow = flow;
    this.#passages = passages;
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => this.#accept(socket));
    this.#server.maxConnections = EGRESS_CONNECTIONS_MAX;
    this.#http = createHttpServer({ maxHeaderSize: HEAD_BYTES_MAX }, (request, response) => {
      this.#forward(request, response).catch(() => response.destroy());
    });
    this.#http.on('connect', (request: IncomingMessage, stream: Duplex, head: Buffer) => {
      this.#connect(request, stream, head).catch(() => stream.destroy());
    });
    this.#http.on('clientError', (_, stream: Duplex) => {
      if (stream.writable) stream.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n');
    });
  }

  /** Binds before it returns. The folder is shown read-only inside: nobody there can put another socket in its place. */
  listen(socketPath: string, ownerUid: number): void {
    rmSync(socketPath, { force: true });
    this.#server.on('error', () => undefined); // it has told its caller already, or has no more descriptors for now
    this.#server.listen(socketPath);
    chmodSync(socketPath, 0o600);
    chownSync(socketPath, ownerUid, ownerUid);
  }

  close(): void {
    this.#server.close();
    for (const { stream } of this.#gates) stream.destroy();
  }

  #accept(socket: Socket): void {
    const giveBack = this.#machine.takePlace();
    if (!giveBack) return void socket.destroy();
    const gate = gateOf(socket, this.#flow);
    const { stream } = gate;
    this.#gates.add(gate);
    this.#gateOf.set(stream, gate);
    stream.once('close', () => {
      this.#gates.delete(gate);
      giveBack();
    });
    stream.once('readable', () => {
      const first = stream.read() as Buffer | null;
      if (first === null) return void stream.destroy();
      stream.unshift(first);
      if (isSocks(first)) this.#socks(gate).catch(() => stream.destroy());
      else this.#http.emit('connection', stream);
    });
  }

  async #connect(request: IncomingMessage, stream: Duplex, head: Buffer): Promise<void> {
    this.#gateOf.get(stream)?.asked();
    const passage = await this.#passages.open('connect', targetOfAuthority(request.url ?? ''));
    if (isRefusal(passage)) return void stream.end(problemText(passage));
    stream.write('HTTP/1.1 200 Connection established\r\n\r\n');
    if (head.length > 0) stream.unshift(head);
    await relay(stream, passage.socket);
  }

  async #forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#gateOf.get(request.socket)?.asked();
    const target = targetOfUrl(request.url ?? '');
    const passage = await this.#passages.open('http', target);
    if (isRefusal(passage)) return sendProblem(response, passage);
    try {
      await forward(request, response, target as NonNullable<typeof target>, passage.socket);
    } catch {
      if (response.headersSent) response.destroy();
      else sendProblem(response, NO_ANSWER);
    } finally {
      passage.socket.destroy();
    }
  }

  async #socks({ stream, asked }: Gate): Promise<void> {
    const request = await readSocks(stream);
    if (request === undefined) return void stream.destroy();
    asked();
    if (typeof request === 'number') return void stream.end(socksAnswer(request));
    const passage = await this.#passages.open('socks', request);
    if (isRefusal(passage)) {
      return void stream.end(socksAnswer(passage.outcome === 'denied' ? SocksReply.denied : SocksReply.unreachable));
    }
    stream.write(socksAnswer(SocksReply.granted));
    await relay(stream, passage.socket);
  }
}
