/**
 * What is typed into a running command.
 * Promise: every byte arrives once and in order, across lost answers; a command that does not read slows the typist only.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { ApiError, type Link } from './services.ts';

export interface TerminalSize {
  /** Character cells, 1 to 1000. */
  columns: number;
  rows: number;
}

/** The input side of a command that was started with `tty` or `stdinOpen`. */
export interface Typing {
  /** Resolves when the platform has queued them; pieces that are typed meanwhile travel together. */
  write(bytes: Uint8Array | string): Promise<void>;
  /** No more follows; on a terminal it is the key for the end of input. */
  end(): Promise<void>;
  /** Only of a terminal. */
  resize(size: TerminalSize): Promise<void>;
}

/** The platform takes no larger piece. */
const PIECE_BYTES_MAX = 256 * 1024;
const FULL_PAUSE_MS = 200;

/** @internal `signal` ends waiting for a command that does not read. */
export function typingInto(link: Link, id: string, execId: string, signal?: AbortSignal): Typing {
  const writer = randomUUID();
  let waiting: Uint8Array[] = [];
  let at = 0n;
  let sending: Promise<void> = Promise.resolve();
  const send = async (bytes: Uint8Array, end: boolean): Promise<void> => {
    const { position } = await untilTaken(() => link.type({ id, execId, at, writer, end }, bytes), signal);
    at = position;
  };
  const sendWaiting = async (): Promise<void> => {
    const bytes = Buffer.concat(waiting);
    waiting = [];
    for (let from = 0; from < bytes.length; from += PIECE_BYTES_MAX)
      await send(bytes.subarray(from, from + PIECE_BYTES_MAX), false);
  };
  const after = (act: () => Promise<void>): Promise<void> => {
    sending = sending.then(act);
    sending.catch(() => undefined);
    return sending;
  };
  return {
    write(bytes) {
      waiting.push(typeof bytes === 'string' ? Buffer.from(bytes) : Uint8Array.from(bytes));
      return after(sendWaiting);
    },
    end: () => after(() => send(new Uint8Array(), true)),
    async resize({ columns, rows }) {
      await link.services.execs.resizeExec({ id, execId, columns, rows });
    },
  };
}

/** A full queue is waited out, however long the command does not read. */
async function untilTaken<T>(attempt: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (fault) {
      if (!(fault instanceof ApiError && fault.code === 'queue_full')) throw fault;
      await pause(FULL_PAUSE_MS, undefined, signal ? { signal } : {});
    }
  }
}
