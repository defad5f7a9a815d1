/**
 * A whole platform in a folder of its own, started as people start it.
 * Promise: when it is disposed, every process it started is gone and so is its folder.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isRunning, signal } from './processes.ts';
import { until } from './until.ts';

export const ROOT = join(import.meta.dirname, '..', '..');
const UP = join(ROOT, 'infra', 'local', 'up.ts');
const START_MS_MAX = 60_000;
const STOP_MS_MAX = 45_000;
const SAID_CHARS_MAX = 8_000;
const COMPLAINTS_MAX = 40;

export type ProgramName = 'database' | 'warden' | 'chain' | 'meter' | 'api';

export interface PlatformOptions {
  /** Absent: a new folder, which goes with the platform. */
  folder?: string;
  quantumMs?: number;
  graceMs?: number;
  /** Listens where its folder says that it did the last time, as people's platforms do; absent: on any free port. */
  isFoundAgain?: boolean;
  /** On top of this process's environment. */
  env?: Record<string, string>;
}

export const temporaryFolder = (): string => mkdtempSync(join(tmpdir(), 'tally-acc-'));

/** @errors rejects with what it printed when it does not come up */
export async function startPlatform(options: PlatformOptions = {}): Promise<Platform> {
  const { quantumMs = 1_000, graceMs = 1_500 } = options;
  const folder = options.folder ?? temporaryFolder();
  const port = options.isFoundAgain ? [] : ['--port', '0'];
  const flags = ['--data', folder, ...port, '--quantum', String(quantumMs), '--grace', String(graceMs)];
  const supervisor = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', UP, ...flags], {
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const platform = new Platform(folder, supervisor, options.folder === undefined);
  try {
    await platform.untilUp();
    return platform;
  } catch (fault) {
    await platform[Symbol.asyncDispose]();
    throw fault;
  }
}

export class Platform implements AsyncDisposable {
  readonly folder: string;
  readonly #supervisor: ChildProcess;
  readonly #isFolderOurs: boolean;
  #said = '';
  #pids: Record<string, number> = {};
  url = '';

  constructor(folder: string, supervisor: ChildProcess, isFolderOurs: boolean) {
    this.folder = folder;
    this.#supervisor = supervisor;
    this.#isFolderOurs = isFolderOurs;
    for (const stream of [supervisor.stdout, supervisor.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#said = (this.#said + text).slice(-SAID_CHARS_MAX);
      });
  }

  /** What the supervisor printed last. */
  get said(): string {
    return this.#said;
  }

  /** The newest errors and crashes in its logs: what a failed test needs to be understood. */
  complaints(): string[] {
    const folder = join(this.folder, 'logs');
    return readdirSync(folder).flatMap((name) => {
      const lines = readFileSync(join(folder, name), 'utf8').split('\n');
      const bad = lines.filter((line) => /"level":(50|60)|^[A-Za-z]*Error|^ {4}at /.test(line));
      return bad.slice(-COMPLAINTS_MAX).map((line) => `${name}: ${line}`);
    });
  }

  get supervisorPid(): number {
    return this.#supervisor.pid!;
  }

  /** The pid of a program as the platform tells it now. */
  pid(name: ProgramName): number {
    this.#readAddress();
    return this.#pids[name]!;
  }

  /** The server behind the program `database`. */
  postmasterPid(): number | undefined {
    const file = join(this.folder, 'data', 'postmaster.pid');
    if (!existsSync(file)) return undefined;
    const pid = Number(readFileSync(file, 'utf8').split('\n')[0]);
    return isRunning(pid) ? pid : undefined;
  }

  async untilUp(): Promise<void> {
    const isUp = (): boolean => {
      if (this.#supervisor.exitCode !== null) throw new Error(`the platform did not come up:\n${this.#said}`);
      return this.#said.includes('Tallystick is up');
    };
    await until('the platform is up', isUp, START_MS_MAX);
    this.#readAddress();
  }

  #readAddress(): void {
    const file = join(this.folder, 'run', 'api.json');
    if (!existsSync(file)) return;
    const { url, pids } = JSON.parse(readFileSync(file, 'utf8')) as { url: string; pids: Record<string, number> };
    this.url = url;
    this.#pids = pids;
  }

  /** Nobody restarts what dies until `resume`. */
  pause(): void {
    signal(this.supervisorPid, 'SIGSTOP');
  }

  resume(): void {
    signal(this.supervisorPid, 'SIGCONT');
  }

  /** SIGKILL to one program. Resolves when it is gone. */
  async kill(name: ProgramName): Promise<void> {
    const pid = this.pid(name);
    signal(pid, 'SIGKILL');
    await until(`${name} is gone`, () => !isRunning(pid));
  }

  /** Until every program runs under a pid other than those given and the api says that it is ready. */
  async untilReady(notPids: readonly number[] = []): Promise<void> {
    const isReady = async (): Promise<boolean> => {
      this.#readAddress();
      const pids = Object.values(this.#pids);
      if (!pids.every(isRunning) || pids.some((pid) => notPids.includes(pid))) return false;
      const answer = await fetch(`${this.url}/readyz`).catch(() => undefined);
      return answer?.ok === true;
    };
    await until('the platform is ready again', isReady, START_MS_MAX);
  }

  /** As Ctrl-C does. Resolves with the exit code. */
  async stop(how: NodeJS.Signals = 'SIGINT'): Promise<number | null> {
    const ended = this.#supervisor.exitCode === null && this.#supervisor.signalCode === null;
    const exit = ended ? once(this.#supervisor, 'exit') : undefined;
    this.resume();
    signal(this.supervisorPid, how);
    const timer = setTimeout(() => signal(this.supervisorPid, 'SIGKILL'), STOP_MS_MAX);
    await exit;
    clearTimeout(timer);
    return this.#supervisor.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#readAddress();
    for (const pid of Object.values(this.#pids)) signal(pid, 'SIGCONT');
    await this.stop();
    for (const pid of [...Object.values(this.#pids), this.postmasterPid()]) signal(pid, 'SIGKILL');
    await until('no program is left', () => !Object.values(this.#pids).some(isRunning) && !this.postmasterPid());
    if (this.#isFolderOurs) rmSync(this.folder, { recursive: true, force: true });
  }
}
