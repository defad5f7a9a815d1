/**
 * Runs one command inside the sandbox and streams its pipes.
 * Promise: it is over at its exit plus a short drain, also when a background child holds the pipes open for ever.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { creditBody, type ExecRequest, Kind, type TerminalSize } from './frame.ts';
import { outflow, type Send } from './outflow.ts';

/** What a call of the warden can do to the work behind it. */
export interface Work {
  data(bytes: Buffer): void;
  dataEnd(): void;
  credit(bytes: number): void;
  signal(name: string): void;
  /** Only of a terminal. */
  resize?(size: TerminalSize): void;
  cancel(): void;
}

export const DRAIN_MS = 50;

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    process.kill(-(child.pid as number), signal);
  } catch {
    // Already gone.
  }
}

function spawnRequested(request: ExecRequest): ChildProcess {
  const [file = '', ...args] = request.argv;
  const stdin = request.hasStdin ? 'pipe' : 'ignore';
  const env = { ...process.env, ...request.env };
  return spawn(file, args, { env, cwd: request.cwd ?? process.cwd(), detached: true, stdio: [stdin, 'pipe', 'pipe'] });
}

/** Calls `done` once with the frame that ends the call. */
export function startExec(request: ExecRequest, send: Send, done: (kind: Kind, body: object) => void): Work {
  const child = spawnRequested(request);
  const flow = outflow(send);
  let timedOut = false;
  let isOver = false;
  const finish = (kind: Kind, body: object): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    flow.stop();
    done(kind, body);
  };
  const finishExit = (code: number | null, signal: string | null): void => {
    if (timedOut) finish(Kind.end, { end: 'timeout' });
    else finish(Kind.end, signal ? { end: 'signaled', signal } : { end: 'exited', code: code ?? -1 });
  };
  const drain = (code: number | null, signal: string | null): void => {
    if (flow.isBusy(DRAIN_MS)) setTimeout(drain, DRAIN_MS, code, signal);
    else finishExit(code, signal);
  };
  const expire = (): void => {
    timedOut = true;
    killGroup(child, 'SIGKILL');
  };
  const timer = request.timeoutMs === undefined ? undefined : setTimeout(expire, request.timeoutMs);
  flow.pump(child.stdout as Readable, Kind.out);
  flow.pump(child.stderr as Readable, Kind.err);
  child.stdin?.on('error', () => {});
  child.on('error', (fault: NodeJS.ErrnoException) => finish(Kind.fault, { code: fault.code, message: fault.message }));
  child.on('close', (code, signal) => child.pid !== undefined && finishExit(code, signal));
  child.on('exit', (code, signal) => setTimeout(drain, DRAIN_MS, code, signal));
  return {
    data: (bytes) => {
      const giveBack = (): void => send(Kind.credit, creditBody(bytes.length));
      if (!child.stdin || child.stdin.destroyed) giveBack();
      else child.stdin.write(bytes, giveBack);
    },
    dataEnd: () => void child.stdin?.end(),
    credit: flow.credit,
    signal: (name) => killGroup(child, name as NodeJS.Signals),
    cancel: () => killGroup(child, 'SIGKILL'),
  };
}
