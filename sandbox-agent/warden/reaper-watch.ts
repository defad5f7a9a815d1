/**
 * Keeps the reaper alive and answering: the warden's half of the two watching each other.
 * Promise: a reaper that dies or falls silent is replaced; it ends when the warden does.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { systemClock } from './clock.ts';

const SILENT_MS_MAX = 1_000;
const FLAGS = ['--max-semi-space-size=1', '--single-threaded-gc', '--disable-warning=ExperimentalWarning'];

export class ReaperWatch {
  readonly #deadlines: string;
  readonly #mountPoint: string;
  readonly #onRestarted: () => void;
  #reaper: ChildProcess;
  #seenAtMs = 0;
  #checkedAtMs = 0;
  #isClosing = false;

  constructor(deadlines: string, mountPoint: string, onRestarted: () => void) {
    this.#deadlines = deadlines;
    this.#mountPoint = mountPoint;
    this.#onRestarted = onRestarted;
    this.#reaper = this.#start();
  }

  get pid(): number {
    return this.#reaper.pid as number;
  }

  /** In its own session, so that what ends the warden's terminal does not end the reaper. */
  #start(): ChildProcess {
    const script = join(import.meta.dirname, '..', 'reaper', 'reaper.ts');
    const options = { detached: true, stdio: ['pipe', 'pipe', 'inherit'] as ('pipe' | 'inherit')[], env: {} };
    const reaper = spawn(process.execPath, [...FLAGS, script, this.#deadlines, this.#mountPoint], options);
    this.#seenAtMs = systemClock.monotonicMs();
    reaper.stdout?.on('data', () => {
      this.#seenAtMs = systemClock.monotonicMs();
    });
    reaper.stdin?.on('error', () => {});
    reaper.once('exit', () => {
      if (this.#isClosing) return;
      this.#reaper = this.#start();
      this.#onRestarted();
    });
    return reaper;
  }

  /** Kills a silent reaper; its exit starts the next. A silence in which the warden itself hung is not held against it. */
  check(): void {
    const nowMs = systemClock.monotonicMs();
    if (nowMs - this.#checkedAtMs > SILENT_MS_MAX / 2) this.#seenAtMs = nowMs;
    this.#checkedAtMs = nowMs;
    if (nowMs - this.#seenAtMs > SILENT_MS_MAX && !this.#isClosing) this.#reaper.kill('SIGKILL');
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    if (this.#reaper.exitCode !== null || this.#reaper.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#reaper.once('close', resolve));
    this.#reaper.stdin?.end();
    await gone;
  }
}
