/**
 * Sends the bytes of one readable stream as frames, never more than the warden has given credit for.
 * Promise: a slow reader of one call stops that call's source, not memory and not the other calls.
 */
import { FRAME_BYTES_MAX, type Kind, WINDOW_BYTES } from './frame.ts';

export type Send = (kind: Kind, body: Buffer | object) => void;

export interface Outflow {
  /** Attaches one more source; all sources of a call share its window. */
  pump(source: NodeJS.ReadableStream, kind: Kind): void;
  credit(bytes: number): void;
  /** A source waits for credit, or gave bytes less than `quietMs` ago. */
  isBusy(quietMs: number): boolean;
  stop(): void;
}

export function outflow(send: Send): Outflow {
  const sources: NodeJS.ReadableStream[] = [];
  let window = WINDOW_BYTES;
  let lastBytesAtMs = 0;
  let isStopped = false;
  const give = (kind: Kind, chunk: Buffer): void => {
    if (isStopped) return;
    lastBytesAtMs = performance.now();
    for (let at = 0; at < chunk.length; at += FRAME_BYTES_MAX) send(kind, chunk.subarray(at, at + FRAME_BYTES_MAX));
    window -= chunk.length;
    if (window <= 0) for (const source of sources) source.pause();
  };
  return {
    pump: (source, kind) => {
      sources.push(source);
      source.on('data', (chunk: Buffer) => give(kind, chunk));
    },
    credit: (bytes) => {
      const wasShut = window <= 0;
      window += bytes;
      if (wasShut && window > 0) for (const source of sources) source.resume();
    },
    isBusy: (quietMs) => window <= 0 || performance.now() - lastBytesAtMs < quietMs,
    stop: () => {
      isStopped = true;
      for (const source of sources) (source as { destroy?: () => void }).destroy?.();
    },
  };
}
