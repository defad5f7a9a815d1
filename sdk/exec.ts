/**
 * Commands in a sandbox: start one at most once, follow its output, know its end.
 * Promise: the exec id is chosen before the first try, so a repeat after a lost answer starts nothing twice.
 */
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import type { Exec } from '@tallystick/proto';
import { type Keyed, keyOf, nameOfRun } from './ids.ts';
import {
  chunkOf,
  type ExecOutcome,
  type ExecResult,
  endOfEvent,
  endOfExec,
  type OutputChunk,
  outputKeeper,
} from './output.ts';
import type { Link } from './services.ts';
import { type TerminalSize, type Typing, typingInto } from './typing.ts';

export interface ExecOptions extends Keyed {
  /** Called for every piece of output while it comes. */
  onOutput?: (chunk: OutputChunk) => void | Promise<void>;
  env?: Readonly<Record<string, string>>;
  /** Absent: the home directory. */
  cwd?: string;
  /** At most STDIN_BYTES_MAX. */
  stdin?: Uint8Array | string;
  /** Names of released secrets that it gets in its environment; refused while one was not released. */
  secrets?: readonly string[];
  /** Refused while no secret was released. */
  sensitive?: boolean;
  /** The command is killed after this long; absent: only with its sandbox. */
  timeoutMs?: bigint;
  /** Run it on a terminal of this size: one stream of output, input stays open. */
  tty?: TerminalSize;
  /** Keep standard input open after `stdin`, for `sandbox.input`. */
  stdinOpen?: boolean;
  /** `exec_` and 32 hex digits; absent: a fresh one. */
  execId?: string;
  /** Ends the start and the following; a command that was started goes on. */
  signal?: AbortSignal | undefined;
}

/** A started command as a stream of its output. */
export interface ExecStream extends AsyncIterable<OutputChunk> {
  readonly execId: string;
  /** Its end; settles when the output has been read to its end, or without a reader when the command is over. */
  readonly outcome: Promise<ExecOutcome>;
  /** Receipt of the start; empty when it was only attached to. */
  readonly receiptId: string;
}

/** A command on a terminal: its screen as a stream, and what is typed. */
export interface Terminal extends ExecStream, Typing {}

export type TerminalOptions = Omit<ExecOptions, 'onOutput' | 'tty'> & { tty: TerminalSize };

/** @internal Starts on a terminal and follows. */
export async function openTerminal(
  link: Link,
  sandboxId: string,
  argv: readonly string[],
  options: TerminalOptions,
): Promise<Terminal> {
  const run = await startExec(link, sandboxId, argv, options);
  return Object.assign(run, typingInto(link, sandboxId, run.execId, options.signal));
}

/** More goes into a file first. */
export const STDIN_BYTES_MAX = 1024 * 1024;
/** How long the start of a quiet command waits for its end, so that a short one needs no second call. */
const FIRST_WAIT_MS = 10_000n;
/** How often a follower looks again when the live stream ended without the command's end. */
const FOLLOW_AGAIN_MAX = 50;
const FOLLOW_AGAIN_PAUSE_MS = 200;

/** @internal Runs to the end. */
export async function execute(
  link: Link,
  sandboxId: string,
  argv: readonly string[],
  options: ExecOptions,
): Promise<ExecResult> {
  const name = nameOfRun(options);
  const { execId } = name;
  const waitMs = options.onOutput ? 0n : FIRST_WAIT_MS;
  const started = await start(link, sandboxId, argv, { ...options, ...name }, waitMs);
  const end = endOfExec(started);
  if (end && !options.onOutput && isWhole(started)) {
    const { stdout, stderr, receiptId } = started;
    return { ...end, execId, sandboxId, stdout, stderr, truncated: false, receiptId };
  }
  const run = followExec(link, sandboxId, execId, { after: 0n, ...(options.signal ? { signal: options.signal } : {}) });
  const kept = outputKeeper();
  for await (const chunk of run) {
    kept.keep(chunk);
    await options.onOutput?.(chunk);
  }
  const { truncated } = kept;
  const text = { stdout: kept.text('stdout'), stderr: kept.text('stderr') };
  return { ...(await run.outcome), execId, sandboxId, ...text, truncated, receiptId: started.receiptId };
}

/** The answer holds all output there will ever be. */
const isWhole = (exec: Exec): boolean => !exec.more;

/** @internal Starts and follows. */
export async function startExec(
  link: Link,
  sandboxId: string,
  argv: readonly string[],
  options: ExecOptions,
): Promise<ExecStream> {
  const name = nameOfRun(options);
  const { receiptId } = await start(link, sandboxId, argv, { ...options, ...name }, 0n);
  return followExec(link, sandboxId, name.execId, {
    after: 0n,
    receiptId,
    ...(options.signal ? { signal: options.signal } : {}),
  });
}

function start(
  link: Link,
  id: string,
  argv: readonly string[],
  options: ExecOptions & { execId: string },
  waitMs: bigint,
): Promise<Exec> {
  const stdin = typeof options.stdin === 'string' ? Buffer.from(options.stdin) : options.stdin;
  if (stdin && stdin.length > STDIN_BYTES_MAX)
    throw new RangeError(`stdin has ${stdin.length} bytes, the cap is ${STDIN_BYTES_MAX}: upload a file and read it`);
  const input = {
    id,
    argv: [...argv],
    env: { ...options.env },
    secrets: [...(options.secrets ?? [])],
    sensitive: options.sensitive ?? false,
    cwd: options.cwd ?? '',
    execId: options.execId,
    waitMs,
    ...(stdin ? { stdin } : {}),
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    ...(options.tty ? { tty: options.tty } : {}),
    ...(options.stdinOpen ? { stdinOpen: true } : {}),
  };
  return link.services.execs.execSandbox(input, keyOf(options));
}

interface FollowOptions {
  after: bigint;
  receiptId?: string;
  signal?: AbortSignal;
}

/** @internal The output of a started command, and its end. */
export function followExec(link: Link, sandboxId: string, execId: string, options: FollowOptions): ExecStream {
  const outcome = Promise.withResolvers<ExecOutcome>();
  outcome.promise.catch(() => undefined);
  let isRead = false;
  const follow = async function* (): AsyncGenerator<OutputChunk> {
    isRead = true;
    try {
      outcome.resolve(yield* readToEnd(link, sandboxId, execId, options));
    } catch (fault) {
      outcome.reject(fault);
      throw fault;
    } finally {
      outcome.reject(new Error(`the output of ${execId} was not read to its end`));
    }
  };
  const readUnread = async (): Promise<void> => {
    await nextTurn(); // whoever is about to read has begun by then
    if (!isRead) for await (const _ of follow());
  };
  return {
    execId,
    receiptId: options.receiptId ?? '',
    get outcome() {
      readUnread().catch(() => undefined);
      return outcome.promise;
    },
    [Symbol.asyncIterator]: follow,
  };
}

/** Follows the live topic; when that ends early (the machine was lost), asks how the command ended. */
async function* readToEnd(
  link: Link,
  id: string,
  execId: string,
  options: FollowOptions,
): AsyncGenerator<OutputChunk, ExecOutcome> {
  let after = options.after;
  for (let attempt = 0; attempt < FOLLOW_AGAIN_MAX; attempt++) {
    const events = link.live.follow(`exec/${id}/${execId}`, {
      after,
      ...(options.signal ? { signal: options.signal } : {}),
    });
    for await (const event of events) {
      const chunk = chunkOf(event);
      if (chunk) yield chunk;
      after = event.cursor;
      const end = endOfEvent(event);
      if (end) return end;
    }
    options.signal?.throwIfAborted();
    const end = endOfExec(await link.services.execs.getExec({ id, execId, after, waitMs: 0n }));
    if (end) return end;
    await pause(FOLLOW_AGAIN_PAUSE_MS, undefined, options.signal ? { signal: options.signal } : {});
  }
  throw new Error(`the live stream of ${execId} ended ${FOLLOW_AGAIN_MAX} times before the command did`);
}
