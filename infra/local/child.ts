/**
 * One program of the platform as a child process: started, awaited until ready, restarted when it dies, stopped.
 * Promise: a setting that is wrong is told as the program tells it; a crash is followed by a restart with a growing pause; a stop ends the child by its own pid, never another's.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT_SETTING, SettingError } from '@tallystick/engine/program';

/** What Node has compiled, beside the packages: a program that starts again needs half as long. */
const COMPILED = join(import.meta.dirname, '..', '..', 'node_modules', '.cache', 'programs');
const READY_MS_MAX = 60_000;
const STOP_MS_MAX = 15_000;
const RESTART_PAUSE_MS_MIN = 250;
const RESTART_PAUSE_MS_MAX = 5_000;
const STEADY_MS = 10_000;
/** How much of a dead program's standard error is shown. */
const SAID_LINES_MAX = 12;
const LAST_WORDS_MS_MAX = 500;

export interface Program {
  name: string;
  /** Path of its main file. */
  main: string;
  arguments: string[];
  env: Record<string, string>;
  /** Where standard error and everything after the ready line goes. */
  logFile: string;
}

export type ReadyFacts = Record<string, unknown> & { pid: number };

export class Child implements AsyncDisposable {
  readonly program: Program;
  #process: ChildProcess | undefined;
  #isStopping = false;
  #watching: Promise<void> | undefined;
  readonly #log: WriteStream;
  readonly #onRestart: (name: string, facts: ReadyFacts) => void;

  constructor(program: Program, onRestart: (name: string, facts: ReadyFacts) => void = () => undefined) {
    this.program = program;
    this.#onRestart = onRestart;
    this.#log = createWriteStream(program.logFile, { flags: 'a', mode: 0o600 });
    this.#log.on('error', () => undefined); // a full disk loses log lines, not the platform
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Resolves with the facts of the ready line. @errors throws SettingError; else with the log's path when the program ends before it. */
  async start(): Promise<ReadyFacts> {
    const facts = await this.#launch();
    this.#watching = this.#restartForEver();
    return facts;
  }

  /** SIGTERM, then SIGKILL when it does not end in time. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    const child = this.#process;
    if (child && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
      await ended(child);
      clearTimeout(timer);
    }
    await this.#watching;
    this.#log.end();
  }

  async #launch(): Promise<ReadyFacts> {
    const { main, arguments: more, env } = this.program;
    const child = spawn(process.execPath, [main, ...more], {
      env: { NODE_COMPILE_CACHE: COMPILED, ...process.env, TALLY_PARENT: String(process.pid), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true, // a Ctrl-C in the terminal reaches the platform alone, which stops its programs in order
    });
    this.#process = child;
    child.stderr!.pipe(this.#log, { end: false });
    return this.#readyLine(child);
  }

  async #readyLine(child: ChildProcess): Promise<ReadyFacts> {
    const { name, logFile } = this.program;
    const { promise, resolve, reject } = Promise.withResolvers<ReadyFacts>();
    const said: string[] = [];
    createInterface({ input: child.stderr! }).on('line', (line) => said.push(line) > SAID_LINES_MAX && said.shift());
    const fail = (why: string): void =>
      reject(new Error([`${name} ${why}; its last words (all: ${logFile}):`, ...said].join('\n  ')));
    const failAtEnd = async (code: number | null, signal: string | null): Promise<void> => {
      await toldAll(child.stderr!);
      if (code === EXIT_SETTING && said.length > 0) reject(new SettingError(said.at(-1)!));
      else fail(`ended with ${signal ?? `exit code ${code}`} before it was ready`);
    };
    const timer = setTimeout(() => fail(`was not ready after ${READY_MS_MAX} ms`), READY_MS_MAX);
    child.once('exit', (code, signal) => void failAtEnd(code, signal));
    child.once('error', (fault) => fail(`could not be started: ${fault.message}`));
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const facts = readyFacts(line);
      if (facts) resolve(facts);
      else this.#log.write(`${line}\n`);
    });
    return promise.finally(() => clearTimeout(timer));
  }

  async #restartForEver(): Promise<void> {
    let pauseMs = RESTART_PAUSE_MS_MIN;
    while (!this.#isStopping) {
      const startedAtMs = performance.now();
      await ended(this.#process!);
      if (this.#isStopping) return;
      pauseMs =
        performance.now() - startedAtMs > STEADY_MS
          ? RESTART_PAUSE_MS_MIN
          : Math.min(pauseMs * 2, RESTART_PAUSE_MS_MAX);
      await sleep(pauseMs);
      if (this.#isStopping) return;
      await this.#launch().then(
        (facts) => this.#onRestart(this.program.name, facts),
        (fault: Error) => this.#log.write(`${fault.message}\n`),
      );
    }
  }
}

/** A dead program's last words may still be on their way; its own children may hold the pipe open. */
const toldAll = (stream: Readable): Promise<void> =>
  finished(stream, { writable: false, signal: AbortSignal.timeout(LAST_WORDS_MS_MAX) }).catch(() => undefined);

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  child.once('exit', () => resolve());
  child.once('error', () => resolve());
  await promise;
}

function readyFacts(line: string): ReadyFacts | undefined {
  if (!line.startsWith('{"ready":true')) return undefined;
  return JSON.parse(line) as ReadyFacts;
}
