/**
 * Carries one request, WebSocket or plain stream to a program in a sandbox.
 * Promise: bytes stream with back-pressure; what the program answers wrongly ends as 502, never as a broken listener.
 */
import { type IncomingMessage, type OutgoingHttpHeaders, request, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { headForTenant, headFromTenant, type Origin } from './heads.ts';

/** How long a program may think before its answer begins. */
export const ANSWER_MS_MAX = 120_000;
export const HEAD_BYTES_MAX = 16 * 1024;

interface Ask {
  asked: IncomingMessage;
  origin: Origin;
  /** To the program. */
  stream: Duplex;
  /** Hears of every piece that passes. */
  onBytes(): void;
}

function askTenant({ asked, origin, stream }: Ask, more: OutgoingHttpHeaders = {}) {
  const sent = request({
    createConnection: () => stream,
    method: asked.method,
    path: asked.url,
    headers: { connection: 'close', ...headForTenant(asked.headers, origin), ...more },
    setHost: false,
    maxHeaderSize: HEAD_BYTES_MAX,
  });
  const late = setTimeout(() => sent.destroy(new Error('the program does not answer')), ANSWER_MS_MAX);
  for (const event of ['response', 'upgrade', 'close'] as const) sent.once(event, () => clearTimeout(late));
  return sent;
}

/** @errors rejects before anything is answered; a break afterwards breaks the answer off */
export async function carryRequest(ask: Ask, response: ServerResponse): Promise<void> {
  const sent = askTenant(ask);
  const { promise: answered, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  sent.on('response', resolve);
  sent.on('error', reject);
  sent.on('close', () => reject(new Error('the program closed the connection')));
  response.on('close', () => sent.destroy());
  pipeline(ask.asked, sent).catch(reject);
  const answer = await answered;
  response.writeHead(answer.statusCode as number, headFromTenant(answer.headers));
  answer.on('data', ask.onBytes);
  // the first byte of a stream of events must not wait for the second
  response.flushHeaders();
  await pipeline(answer, response).catch(() => response.destroy());
}

const headText = (status: string, headers: OutgoingHttpHeaders): string => {
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    [value ?? []].flat().map((one) => `${name}: ${one}\r\n`),
  );
  return `HTTP/1.1 ${status}\r\n${lines.join('')}\r\n`;
};

/** Resolves once the program has answered. @errors rejects when it answers nothing that can be passed on */
export async function carryWebSocket(ask: Ask, socket: Duplex, head: Buffer): Promise<void> {
  const sent = askTenant(ask, { connection: 'Upgrade', upgrade: 'websocket' });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  sent.on('error', reject);
  sent.on('close', () => reject(new Error('the program closed the connection')));
  sent.on('upgrade', (answer, stream, first) => {
    resolve();
    const agreed = { ...headFromTenant(answer.headers), connection: 'Upgrade', upgrade: 'websocket' };
    socket.write(headText('101 Switching Protocols', agreed));
    if (first.length > 0) socket.write(first);
    void join(socket, stream, head, ask.onBytes);
  });
  sent.on('response', (answer) => {
    resolve();
    const { statusCode = 502 } = answer;
    socket.write(headText(`${statusCode} Refused`, { ...headFromTenant(answer.headers), connection: 'close' }));
    pipeline(answer, socket).catch(() => socket.destroy());
  });
  socket.on('close', () => sent.destroy());
  sent.end();
  await promise;
}

/** Both ways until both halves are closed or one breaks; `head` was read from `outside` already. */
export async function join(outside: Duplex, inside: Duplex, head: Buffer, onBytes: () => void): Promise<void> {
  if (head.length > 0) outside.unshift(head);
  for (const side of [outside, inside]) side.on('data', onBytes);
  const both = [pipeline(outside, inside), pipeline(inside, outside)];
  await Promise.all(both).catch(() => undefined);
  outside.destroy();
  inside.destroy();
}
