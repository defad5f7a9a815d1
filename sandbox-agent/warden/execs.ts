/**
 * The commands of one sandbox: each starts at most once, its output stays on disk, its end is one typed word.
 * Promise: repeating a start gives the same answer and starts nothing.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Redactor } from '@tallystick/kernel/sealing';
import type { ExecRequest, TerminalSize } from '../guest/frame.ts';
import { ExecInput, type StdinPlace } from './exec-input.ts';
import { ExecLog } from './exec-log.ts';
import { type Facts, Fault, refused } from './fault.ts';
import type { Call, GuestLink } from './guest-link.ts';
import { Waiters } from './waiters.ts';

/** Commands a sandbox may run at once, and in its life. */
export const EXECS_RUNNING_MAX = 64;
export const EXECS_MAX = 10_000;
/** Ended commands whose output is kept; older ones keep their end and lose their output. */
export const EXEC_LOGS_KEPT = 64;
const PROGRAM_CHARS_MAX = 128;

export type ExecEnd =
  | { end: 'exited'; code: number }
  | { end: 'signaled'; signal: string }
  | { end: 'oom' | 'timeout' | 'lease_ended' | 'killed' | 'sandbox_lost' }
  | { end: 'not_started'; code: string };

export interface ExecView {
  exec_id: string;
  /** The program alone: arguments may hold secrets. */
  program: string;
  tty: TerminalSize | null;
  state: 'running' | 'ended';
  end: ExecEnd | null;
  stdout_bytes: number;
  stderr_bytes: number;
  started_at_us: number;
  ended_at_us: number | null;
}

interface Exec {
  id: string;
  program: string;
  tty: TerminalSize | null;
  log: ExecLog;
  /** One per stream: what the log gets has passed through it. */
  redactors: { 1: Redactor; 2: Redactor };
  call: Call | undefined;
  input: ExecInput | undefined;
  end: ExecEnd | undefined;
  startedAtUs: number;
  endedAtUs: number | null;
  oomKillsBefore: number;
}

export interface ExecsOptions {
  link: GuestLink;
  directory: string;
  oomKills: () => number;
  nowUs: () => number;
  /** Keeps released secrets out of one stream. */
  redactor: () => Redactor;
  onStarted: (execId: string) => void;
  onEnded: (exec: ExecView) => void;
}

const STREAMS = [1, 2] as const;
const ERROR_NAME = /^\w{1,64}$/;
const SIGNAL_NAME = /^SIG[A-Z0-9]{2,10}$/;

export class Execs {
  readonly #options: ExecsOptions;
  readonly #execs = new Map<string, Exec>();
  readonly #waiters = new Waiters();
  #running = 0;
  #started = 0;

  constructor(options: ExecsOptions) {
    this.#options = options;
  }

  get runningCount(): number {
    return this.#running;
  }

  /** @errors throws Fault `too_many_execs` naming the cap. */
  start(execId: string, request: ExecRequest, stdin: Buffer | undefined, staysOpen: boolean): ExecView {
    const known = this.#execs.get(execId);
    if (known) return viewOf(known);
    if (this.#running >= EXECS_RUNNING_MAX || this.#execs.size >= EXECS_MAX) {
      const cap = this.#running >= EXECS_RUNNING_MAX ? EXECS_RUNNING_MAX : EXECS_MAX;
      throw new Fault('busy', 'too_many_execs', `at most ${cap} commands`, { cap, asked: 1, available: 0 });
    }
    const { link, directory, oomKills, nowUs, redactor } = this.#options;
    const log = new ExecLog(join(directory, String(this.#started)));
    const times = { startedAtUs: nowUs(), endedAtUs: null };
    const redactors = { 1: redactor(), 2: redactor() };
    const what = { program: request.argv[0]?.slice(0, PROGRAM_CHARS_MAX) ?? '', tty: request.tty ?? null };
    const exec: Exec = {
      ...what,
      input: undefined,
      id: execId,
      log,
      redactors,
      call: undefined,
      end: undefined,
      ...times,
      oomKillsBefore: oomKills(),
    };
    exec.call = link.open('exec', request, this.#eventsOf(exec));
    if (request.hasStdin || exec.tty) exec.input = new ExecInput(exec.call, exec.tty !== null);
    this.#started += 1;
    this.#running += 1;
    this.#execs.set(execId, exec);
    this.#options.onStarted(execId);
    if (stdin) exec.input?.take(stdin, !staysOpen, undefined);
    return viewOf(exec);
  }

  #eventsOf(exec: Exec) {
    const end = (how: ExecEnd): void => void this.#finish(exec, how);
    return {
      onBytes: (stream: 1 | 2, bytes: Buffer) => {
        const stored = appendClean(exec, stream, exec.redactors[stream].push(bytes));
        stored.then(
          () => exec.call?.credit(bytes.length),
          () => exec.call?.cancel(),
        );
        void stored.then(() => this.#waiters.wake()).catch(() => end({ end: 'killed' }));
      },
      onEnd: (body: Record<string, unknown>) => end(this.#readEnd(exec, body)),
      onFault: (code: string) => end({ end: 'not_started', code: ERROR_NAME.test(code) ? code : 'UNKNOWN' }),
      /** The sandbox ends; `endAll` says how, right after. */
      onLost: () => {
        exec.call = undefined;
      },
    };
  }

  /** The guest says how it ended; only the shape is trusted. A kill while the sandbox ran out of memory is `oom`. */
  #readEnd(exec: Exec, body: Record<string, unknown>): ExecEnd {
    if (body['end'] === 'timeout') return { end: 'timeout' };
    if (body['end'] === 'exited') {
      const code = Number(body['code']);
      return { end: 'exited', code: Number.isInteger(code) && code >= 0 && code <= 255 ? code : 255 };
    }
    const signal = String(body['signal']);
    if (signal === 'SIGKILL' && this.#options.oomKills() > exec.oomKillsBefore) return { end: 'oom' };
    return { end: 'signaled', signal: SIGNAL_NAME.test(signal) ? signal : 'SIGUNKNOWN' };
  }

  async #finish(exec: Exec, how: ExecEnd): Promise<void> {
    if (exec.endedAtUs !== null) return;
    exec.endedAtUs = this.#options.nowUs();
    this.#running -= 1;
    for (const stream of STREAMS) appendClean(exec, stream, exec.redactors[stream].end()).catch(() => {});
    await exec.log.close();
    exec.end = how;
    exec.call = undefined;
    this.#dropOldLogs();
    this.#options.onEnded(viewOf(exec));
    this.#waiters.wake();
  }

  #dropOldLogs(): void {
    const ended = [...this.#execs.values()].filter((exec) => exec.end !== undefined);
    for (const exec of ended.slice(0, -EXEC_LOGS_KEPT)) exec.log.drop();
  }

  /** The sandbox is over: whatever still ran ends this way. */
  async endAll(how: ExecEnd): Promise<void> {
    await Promise.all([...this.#execs.values()].map((exec) => this.#finish(exec, how)));
  }

  has(execId: string): boolean {
    return this.#execs.has(execId);
  }

  #held(execId: string): Exec {
    const exec = this.#execs.get(execId);
    if (!exec) throw new Fault('not_found', 'unknown_exec', `no command ${execId} in this sandbox`);
    return exec;
  }

  async get(execId: string, waitMs: number): Promise<ExecView> {
    const exec = this.#held(execId);
    await this.#waiters.until(() => exec.end !== undefined, waitMs);
    return viewOf(exec);
  }

  list(): ExecView[] {
    return [...this.#execs.values()].map(viewOf);
  }

  async output(execId: string, after: number, waitMs: number, bytesMax: number) {
    const exec = this.#held(execId);
    await this.#waiters.until(() => exec.log.end > after || exec.end !== undefined, waitMs);
    const page = exec.log.read(after, bytesMax);
    const chunks = page.chunks.map(({ stream, cursor, bytes }) => ({
      stream,
      cursor,
      bytes_base64: bytes.toString('base64'),
    }));
    const isAtEnd = exec.end !== undefined && page.nextCursor >= exec.log.end;
    const cursors = { next_cursor: page.nextCursor, first_cursor: page.firstCursor };
    const droppedBytes = Math.max(0, page.firstCursor - after);
    return { ...viewOf(exec), chunks, ...cursors, dropped_bytes: droppedBytes, at_end: isAtEnd };
  }

  /** @errors throws Fault `not_running` or `bad_signal`. */
  signal(execId: string, name: string): void {
    if (!SIGNAL_NAME.test(name)) throw refused('bad_signal', 'a signal is named like SIGTERM');
    this.#callOf(execId).signal(name);
  }

  /** Returns how many bytes the writer has written in all. @errors throws Fault `not_running`, `no_stdin` or one of ExecInput */
  stdin(execId: string, bytes: Buffer, isLast: boolean, place?: StdinPlace): number {
    this.#callOf(execId);
    const { input } = this.#held(execId);
    if (!input) throw refused('no_stdin', 'the command was started without an open standard input');
    return input.take(bytes, isLast, place);
  }

  /** @errors throws Fault `not_running` or `no_terminal`. */
  resize(execId: string, size: TerminalSize): ExecView {
    const call = this.#callOf(execId);
    const exec = this.#held(execId);
    if (!exec.tty) throw refused('no_terminal', 'the command runs on no terminal');
    exec.tty = size;
    call.resize(size);
    return viewOf(exec);
  }

  #callOf(execId: string): Call {
    const { call } = this.#held(execId);
    if (!call) throw refused('not_running', 'the command has ended');
    return call;
  }

  /** The output of all commands goes, with the folder that held it. */
  dropLogs(): void {
    for (const exec of this.#execs.values()) exec.log.drop();
    rmSync(this.#options.directory, { recursive: true, force: true });
  }
}

/** Nothing is shown of what is still held back. */
async function appendClean(exec: Exec, stream: 1 | 2, bytes: Buffer): Promise<void> {
  if (bytes.length > 0) await exec.log.append(stream, bytes);
}

function viewOf(exec: Exec): ExecView {
  return {
    exec_id: exec.id,
    program: exec.program,
    tty: exec.tty,
    state: exec.end ? 'ended' : 'running',
    end: exec.end ?? null,
    stdout_bytes: exec.log.total[1],
    stderr_bytes: exec.log.total[2],
    started_at_us: exec.startedAtUs,
    ended_at_us: exec.endedAtUs,
  };
}

/** What a receipt says of a command's end. */
export function execEndFacts({ exec_id, end, stdout_bytes, stderr_bytes }: ExecView): Facts {
  const code = end && 'code' in end ? end.code : null;
  const signal = end && 'signal' in end ? end.signal : null;
  return { exec_id, end: end?.end ?? null, code, signal, stdout_bytes, stderr_bytes };
}
