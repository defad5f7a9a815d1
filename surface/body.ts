/**
 * The bytes of a raw request, with a limit.
 * Promise: a reader that stops early leaves the connection usable, so that the refusal still reaches the caller.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { refuse } from './refusal.ts';

/** @errors the iteration throws BODY_TOO_LARGE as soon as the limit is passed or announced to be */
export async function* limitedBody(request: IncomingMessage, bytesMax: number): AsyncGenerator<Uint8Array, void> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > bytesMax) throw refuse('BODY_TOO_LARGE', { cap_bytes: bytesMax });
  let bytes = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    bytes += (chunk as Uint8Array).length;
    if (bytes > bytesMax) throw refuse('BODY_TOO_LARGE', { cap_bytes: bytesMax });
    yield chunk as Uint8Array;
  }
}

/** What a caller may still send after it was answered, before its connection is cut. */
const LEFT_OVER_BYTES_MAX = 16 * 1024 * 1024;

/** Reads away what a handler left unread once the answer is out, so that the connection can be used again. */
export function discardLeftOver(request: IncomingMessage, response: ServerResponse): void {
  response.once('finish', () => {
    if (request.complete && request.readableEnded) return;
    let bytes = 0;
    request.on('data', (chunk: Uint8Array) => {
      bytes += chunk.length;
      if (bytes > LEFT_OVER_BYTES_MAX) request.destroy();
    });
    request.resume();
  });
}
