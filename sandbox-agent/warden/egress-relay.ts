/**
 * What passes between a program inside and a connection that was allowed: raw, or one HTTP request and its answer.
 * Promise: every request of a connection that is used again is decided by itself; nothing that is meant for the proxy
 * goes further.
 */
import {
  request as askServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { AbsoluteTarget } from './egress-ask.ts';

/** RFC 9110 section 7.6.1, and what only old proxies say. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'expect',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

function endToEnd(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const named = new Set((headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase()));
  const kept = Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name) && !named.has(name));
  return Object.fromEntries(kept);
}

/** Both ways until both have ended; either end may close its half. */
export async function relay(inside: Duplex, outside: Socket): Promise<void> {
  await Promise.allSettled([pipeline(inside, outside), pipeline(outside, inside)]);
  inside.destroy();
  outside.destroy();
}

/** @errors rejects when the server gives no answer that could be passed on */
export function forward(
  request: IncomingMessage,
  response: ServerResponse,
  target: AbsoluteTarget,
  outside: Socket,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const isChunked = request.headers['transfer-encoding'] !== undefined;
  const sent = askServer({
    createConnection: () => outside,
    method: request.method ?? 'GET',
    path: target.path,
    setHost: false,
    headers: {
      ...endToEnd(request.headers),
      host: target.authority,
      ...(isChunked ? { 'transfer-encoding': 'chunked' } : {}),
      connection: 'close',
    },
  });
  sent.on('error', reject);
  sent.on('close', () => reject(new Error('the server closed the connection')));
  sent.on('response', (answer) => {
    try {
      response.writeHead(answer.statusCode ?? 502, answer.statusMessage, endToEnd(answer.headers));
    } catch (fault) {
      return void sent.destroy(fault as Error);
    }
    pipeline(answer, response).then(resolve, reject);
  });
  response.on('close', () => sent.destroy());
  pipeline(request, sent).catch(reject);
  return promise;
}
