/**
 * Everything a command touches of the world around it.
 * Promise: commands reach streams, environment and clock through this value alone, so that a test can be their world.
 */
import type { Readable, Writable } from 'node:stream';

/** The terminal that a person sits at. */
export interface Screen {
  size(): { columns: number; rows: number };
  /** Calls back on every new size until the returned function is called. */
  onResize(listener: () => void): () => void;
  /** Raw: every key comes as it is typed, also the interrupt. */
  setRaw(isRaw: boolean): void;
}

export interface Io {
  stdin: Readable & { isTTY?: boolean };
  stdout: Writable & { isTTY?: boolean };
  stderr: Writable & { isTTY?: boolean };
  env: Readonly<Record<string, string | undefined>>;
  /** Where relative paths begin. */
  folder: string;
  fetch: typeof fetch;
  /** Milliseconds since 1970. */
  nowMs: () => number;
  /** Calls back on an interrupt until the returned function is called. */
  onInterrupt: (listener: () => void) => () => void;
  /** Absent when standard input or output is no terminal. */
  screen?: Screen;
}

/** The world of a real process. */
export function processIo(): Io {
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    folder: process.cwd(),
    fetch: globalThis.fetch,
    nowMs: Date.now,
    onInterrupt: (listener) => {
      process.on('SIGINT', listener);
      return () => void process.off('SIGINT', listener);
    },
    ...(process.stdin.isTTY && process.stdout.isTTY ? { screen: processScreen() } : {}),
  };
}

/** A terminal of no size (some have none) counts as the usual one. */
function processScreen(): Screen {
  const { stdin, stdout } = process;
  return {
    size: () => ({ columns: stdout.columns || 80, rows: stdout.rows || 24 }),
    onResize: (listener) => {
      stdout.on('resize', listener);
      return () => void stdout.off('resize', listener);
    },
    setRaw: (isRaw) => void stdin.setRawMode(isRaw),
  };
}

/** Writes and waits when the reader is slow. A reader that went away (`| head`) is no error of ours. */
export function write(stream: Writable, chunk: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(chunk, (fault) => {
      if (fault && (fault as NodeJS.ErrnoException).code !== 'EPIPE') reject(fault);
      else resolve();
    });
  });
}
