/**
 * Sends the bytes of one readable stream as frames, never more than the warden has given credit for.
 * Promise: a slow reader of one call stops that call's source, not memory and not the other calls.
 */
import type { Readable } from 'node:stream';
import { FRAME_BYTES_MAX, type Kind, WINDOW_BYTES } from './frame.ts';

export type Send = (kind: Kind, body: Buffer | object) => void;

export interface Outflow {
  /** Attaches one more source; all sources of a call share its window. */
  pump(source: Readable, kind: Kind): void;
  credit(bytes: number): void;
  /** A source waits for credit, or gave bytes less than `quietMs` ago. */
  isBusy(quietMs: number): boolean;
  stop(): void;
}

/** Bytes are taken from a source, not pushed by it: how large its pieces are is the runtime's business, not the warden's. */
export function outflow(send: Send): Outflow {
  const sources: Readable[] = [];
  const takers: (() => void)[] = [];
  let window = WINDOW_BYTES;
  let lastBytesAtMs = 0;
  let isStopped = false;
  const take = (source: Readable, kind: Kind): void => {
    while (window > 0 && !isStopped) {
      const bytes = Math.min(window, FRAME_BYTES_MAX, source.readableLength);
      const chunk: Buffer | null = source.read(bytes || undefined);
      if (chunk === null) return;
      lastBytesAtMs = performance.now();
      window -= chunk.length;
      send(kind, chunk);
    }
  };
  return {
    pump: (source, kind) => {
      sources.push(source);
      const taker = (): void => take(source, kind);
      takers.push(taker);
      source.on('readable', taker);
    },
    credit: (bytes) => {
      window += bytes;
      for (const taker of takers) taker();
    },
    isBusy: (quietMs) => window <= 0 || performance.now() - lastBytesAtMs < quietMs,
    stop: () => {
      isStopped = true;
      for (const source of sources) source.destroy();
    },
  };
}
