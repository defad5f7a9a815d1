/**
 * A terminal in memory: runs command lines and keeps what they said.
 * Promise: nothing of the real home folder, environment or screen is touched.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import type { Io } from '../io.ts';
import { run } from '../program.ts';

export interface Said {
  code: number;
  out: string;
  err: string;
}

export interface TestTerminal extends AsyncDisposable {
  folder: string;
  home: string;
  env: Record<string, string>;
  /** Interrupts the running command. */
  interrupt(): void;
  run(...argv: string[]): Promise<Said>;
  runWith(change: Partial<Io>, ...argv: string[]): Promise<Said>;
}

function sink(): { stream: Writable; text: () => string } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  return { stream, text: () => Buffer.concat(chunks).toString() };
}

export async function openTerminal(url?: string): Promise<TestTerminal> {
  const folder = await mkdtemp(join(tmpdir(), 'tally-terminal-'));
  const home = join(folder, 'home');
  const env: Record<string, string> = {
    TALLY_HOME: home,
    TALLY_DATA: join(folder, 'data'),
    TALLY_PASSPHRASE: 'for tests',
    ...(url ? { TALLY_URL: url } : {}),
  };
  const interrupts = new Set<() => void>();
  const runWith = async (change: Partial<Io>, ...argv: string[]): Promise<Said> => {
    const [out, err] = [sink(), sink()];
    const io: Io = {
      stdin: Readable.from([]),
      stdout: out.stream,
      stderr: err.stream,
      env,
      folder,
      fetch: globalThis.fetch,
      nowMs: Date.now,
      onInterrupt: (listener) => {
        interrupts.add(listener);
        return () => void interrupts.delete(listener);
      },
      ...change,
    };
    return { code: await run(argv, io), out: out.text(), err: err.text() };
  };
  return {
    folder,
    home,
    env,
    interrupt: () => {
      for (const listener of interrupts) listener();
    },
    run: (...argv) => runWith({}, ...argv),
    runWith,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}
