/**
 * Programs of the fake platform: `echo`, `cat`, `exit N`, `lease`, `missing CODE`, and `ticker` that a test feeds by hand.
 * Promise: their output can be followed live by cursor, as real output can.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { EventSchema, type ExecSandboxRequest } from '@tallystick/proto';
import type { LiveEvent, LiveTopic } from '@tallystick/surface';

interface FakeEnd {
  end: string;
  exitCode?: number;
  startError?: string;
}

export interface FakeExec {
  execId: string;
  sandboxId: string;
  argv: readonly string[];
  env: Readonly<Record<string, string>>;
  tty: { columns: number; rows: number } | undefined;
  /** What was typed so far. */
  typed: Buffer;
  stdout: string;
  stderr: string;
  end: FakeEnd | undefined;
  topic: LiveTopic;
  /** Appends output. */
  print(text: string, stream?: 1 | 2): void;
  finish(end: string, how?: Omit<FakeEnd, 'end'>): void;
  kill(): void;
  /** Says back what is new of it, as `cat` does; `end` ends it. Returns how much was typed in all. */
  type(bytes: Buffer, at: number, end: boolean): number;
}

/** Runs a program to its end, but `ticker`. */
export function runFake({
  id,
  execId,
  argv,
  env,
  stdin,
  tty,
}: Pick<ExecSandboxRequest, 'id' | 'execId' | 'argv' | 'env' | 'stdin' | 'tty'>): FakeExec {
  const { topic, append, wake } = memoryTopic();
  const run: FakeExec = {
    execId,
    sandboxId: id,
    argv,
    env,
    tty: tty && { columns: tty.columns, rows: tty.rows },
    typed: Buffer.alloc(0),
    stdout: '',
    stderr: '',
    end: undefined,
    topic,
    print(text, stream = 1) {
      if (stream === 1) run.stdout += text;
      else run.stderr += text;
      append({ case: 'output', value: { stream, bytes: Buffer.from(text) } });
    },
    finish(end, how = {}) {
      if (run.end) return;
      run.end = { end, ...how };
      append({ case: 'execEnd', value: run.end });
      wake();
    },
    kill: () => run.finish('killed'),
    type(bytes, at, end) {
      const fresh = bytes.subarray(run.typed.length - at);
      run.typed = Buffer.concat([run.typed, fresh]);
      if (fresh.length > 0) run.print(fresh.toString());
      if (end) run.finish('exited', { exitCode: 0 });
      return run.typed.length;
    },
  };
  start(run, stdin);
  return run;
}

/** The fake programs; one that says no end goes on. */
const PROGRAMS: Record<string, (run: FakeExec, words: string[], stdin: Uint8Array) => FakeEnd | undefined> = {
  echo: (run, words) => {
    run.print(`${words.join(' ')}\n`);
    return { end: 'exited', exitCode: 0 };
  },
  cat: (run, _, stdin) => {
    run.print(Buffer.from(stdin).toString());
    return { end: 'exited', exitCode: 0 };
  },
  env: (run) => {
    for (const [name, value] of Object.entries(run.env)) run.print(`${name}=${value}\n`);
    return { end: 'exited', exitCode: 0 };
  },
  exit: (run, [code]) => {
    run.print('oh no\n', 2);
    return { end: 'exited', exitCode: Number(code) };
  },
  lease: (run) => {
    run.print('tick\n');
    return { end: 'lease_ended' };
  },
  ticker: () => undefined,
};

function start(run: FakeExec, stdin: Uint8Array): void {
  const [program = '', ...words] = run.argv;
  const outcome = PROGRAMS[program]
    ? PROGRAMS[program](run, words, stdin)
    : { end: 'not_started', startError: words[0] ?? 'ENOENT' };
  if (outcome) run.finish(outcome.end, outcome);
}

type Body = { case: 'output'; value: { stream: number; bytes: Uint8Array } } | { case: 'execEnd'; value: FakeEnd };

function memoryTopic() {
  const events: LiveEvent[] = [];
  const wakes = new Set<() => void>();
  let isDone = false;
  const topic: LiveTopic = {
    epoch: 'fake',
    windowUnit: 'kib',
    oldest: () => 0n,
    head: () => events.at(-1)?.cursor ?? 0n,
    read: (after, limit) => events.filter(({ cursor }) => cursor > after).slice(0, limit),
    onAppend: (listener) => {
      wakes.add(listener);
      return () => void wakes.delete(listener);
    },
    done: () => isDone,
  };
  const wake = (): void => {
    for (const listener of wakes) listener();
  };
  const append = (body: Body): void => {
    isDone ||= body.case === 'execEnd';
    const cursor = (events.at(-1)?.cursor ?? 0n) + 3n;
    events.push({ cursor, bytes: toBinary(EventSchema, create(EventSchema, { cursor, body })) });
    wake();
  };
  return { topic, append, wake };
}
