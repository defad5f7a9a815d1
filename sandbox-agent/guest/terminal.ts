/**
 * Runs one command on a pseudo-terminal inside the sandbox: one stream out, keystrokes in, resizable.
 * Promise: when the command has ended nothing of its terminal stays open, also when a child of it lives on.
 */
import { accessSync, constants as fsConstants, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants as osConstants } from 'node:os';
import { ReadStream } from 'node:tty';
import { DRAIN_MS, type Work } from './exec.ts';
import { creditBody, type ExecRequest, Kind, type TerminalSize } from './frame.ts';
import { outflow, type Send } from './outflow.ts';

/** The native half of @lydell/node-pty, without its JavaScript. */
interface PtyBinding {
  fork(
    file: string,
    args: string[],
    env: string[],
    cwd: string,
    columns: number,
    rows: number,
    uid: number,
    gid: number,
    isUtf8: boolean,
    helper: string,
    onExit: (code: number, signal: number) => void,
  ): { fd: number; pid: number };
  resize(fd: number, columns: number, rows: number): void;
}

const PTY_FILE = '/opt/guest/pty.node';
const SAME_ID = -1;
const TERM_DEFAULT = 'xterm-256color';
const END_OF_INPUT = Buffer.from([4]);
/** Field 8 of /proc/PID/stat, counted from the state: the terminal's foreground process group. */
const FOREGROUND_FIELD = 5;

let binding: PtyBinding | undefined;

function ptyBinding(): PtyBinding {
  binding ??= createRequire(PTY_FILE)(PTY_FILE) as PtyBinding;
  return binding;
}

/** Empty when it may be run. */
function refusalOf(file: string): string {
  try {
    accessSync(file, fsConstants.X_OK);
    return '';
  } catch (fault) {
    return String((fault as NodeJS.ErrnoException).code);
  }
}

/** The pty's child could only complain on the terminal, so that what is missing is told before. */
function programFile(name: string, path: string): string {
  const candidates = name.includes('/') ? [name] : path.split(':').map((folder) => `${folder}/${name}`);
  const refusals = candidates.map(refusalOf);
  const found = candidates[refusals.indexOf('')];
  if (found) return found;
  const code = refusals.includes('EACCES') ? 'EACCES' : 'ENOENT';
  throw Object.assign(new Error(`no program ${name} that may be run`), { code });
}

function openTerminal(request: ExecRequest, size: TerminalSize, onExit: (code: number, signal: number) => void) {
  const [name = '', ...args] = request.argv;
  const cwd = request.cwd ?? process.cwd();
  accessSync(cwd, fsConstants.X_OK);
  const env: NodeJS.ProcessEnv = { TERM: TERM_DEFAULT, ...process.env, ...request.env };
  const pairs = Object.entries(env).map(([key, value]) => `${key}=${value}`);
  const file = programFile(name, env['PATH'] ?? '');
  const { columns, rows } = size;
  return ptyBinding().fork(file, args, pairs, cwd, columns, rows, SAME_ID, SAME_ID, true, '', onExit);
}

/** What is in the foreground gets the signal, as a key on a real terminal would send it; the shell when that is gone. */
function foregroundGroup(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const group = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[FOREGROUND_FIELD]);
    return group > 1 ? group : pid;
  } catch {
    return pid;
  }
}

function signalGroup(group: number, signal: string): void {
  try {
    process.kill(-group, signal as NodeJS.Signals);
  } catch {
    // Already gone.
  }
}

const signalName = (number: number): string =>
  Object.entries(osConstants.signals).find(([, value]) => value === number)?.[0] ?? 'SIGUNKNOWN';

/** Calls `done` once with the frame that ends the call. @errors throws when the program or the folder is not there */
export function startTerminal(request: ExecRequest, send: Send, done: (kind: Kind, body: object) => void): Work {
  const flow = outflow(send);
  let timedOut = false;
  let isOver = false;
  const finish = (code: number, signal: number): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    flow.stop();
    if (timedOut) done(Kind.end, { end: 'timeout' });
    else done(Kind.end, signal ? { end: 'signaled', signal: signalName(signal) } : { end: 'exited', code });
  };
  const drain = (code: number, signal: number): void => {
    if (!screen.closed && flow.isBusy(DRAIN_MS)) setTimeout(drain, DRAIN_MS, code, signal);
    else finish(code, signal);
  };
  const child = openTerminal(request, request.tty as TerminalSize, (code, signal) => {
    setTimeout(drain, DRAIN_MS, code, signal);
  });
  const screen = new ReadStream(child.fd);
  /** EIO when the last process has closed the terminal: its end, not a fault. */
  screen.on('error', () => {});
  flow.pump(screen, Kind.out);
  const kill = (): void => {
    signalGroup(foregroundGroup(child.pid), 'SIGKILL');
    signalGroup(child.pid, 'SIGKILL');
  };
  const expire = (): void => {
    timedOut = true;
    kill();
  };
  const timer = request.timeoutMs === undefined ? undefined : setTimeout(expire, request.timeoutMs);
  const type = (bytes: Buffer, then: () => void): void => {
    if (screen.destroyed) then();
    else screen.write(bytes, then);
  };
  return {
    data: (bytes) => type(bytes, () => send(Kind.credit, creditBody(bytes.length))),
    dataEnd: () => type(END_OF_INPUT, () => {}),
    credit: flow.credit,
    signal: (name) => (name === 'SIGKILL' ? kill() : signalGroup(foregroundGroup(child.pid), name)),
    resize: ({ columns, rows }) => {
      if (!screen.destroyed) ptyBinding().resize(child.fd, columns, rows);
    },
    cancel: () => {
      kill();
      flow.stop();
    },
  };
}
