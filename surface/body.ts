/**
 * The bytes of a raw request, with a limit.
 * Promise: a reader that stops early leaves the connection usable, so that the refusal still reaches the caller.
 */
import type { IncomingMessage } from 'node:http';
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
