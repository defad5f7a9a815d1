/**
 * One launcher that waits: in a cgroup, with a uid and a socket of its own, and nothing of any tenant's yet.
 * Promise: whoever starts from it waits for neither the kernel's slow cgroup move nor four programs; it is given away once
 * and leaves nothing when it is not.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Cgroup, type Limits } from './cgroup.ts';
import { removeDeadline, writeDeadline } from './deadline-file.ts';
import type { Ground } from './ground.ts';
import { GuestLink } from './guest-link.ts';
import { GUEST_ARGV, launchWaiting } from './isolate.ts';

/** What a sandbox is made of before its shape is known. */
export interface Launcher {
  name: string;
  hostUid: number;
  directory: string;
  cgroup: Cgroup;
  link: GuestLink;
  process: ChildProcess;
}

/** The least that admission lets pass, so that a claim only ever raises them. */
export const LEAST_LIMITS: Limits = { cpuMillis: 1_000, memoryBytesMax: 64 << 20, pidsMax: 64 };
/** What has no lease has no deadline either; the reaper clears it away should the warden die. */
const NEVER_MS = Number.MAX_SAFE_INTEGER;
const REFILL_AFTER_MS = 250;
const RETRY_AFTER_MS = 5_000;

/** For a sandbox that the warden alone holds. */
export function writeNoDeadline(ground: Ground, slot: string, cgroup: Cgroup, sandboxDirectory: string): void {
  writeDeadline(ground.deadlines, {
    sandbox: slot,
    incarnation: 0,
    seq: 0,
    paidUntilMs: NEVER_MS,
    endsAtMonotonicMs: NEVER_MS,
    graceMs: 0,
    tree: cgroup.tree,
    pid: undefined,
    cgroupDirectories: cgroup.directories,
    sandboxDirectory,
  });
}

export async function removeLauncher(
  { name, directory, cgroup, link, process }: Launcher,
  ground: Ground,
): Promise<void> {
  const isGone = process.exitCode !== null || process.signalCode !== null;
  const gone = isGone ? undefined : once(process, 'exit');
  cgroup.kill();
  process.kill('SIGKILL');
  await gone;
  link.close();
  await cgroup.remove();
  rmSync(directory, { recursive: true, force: true });
  removeDeadline(ground.deadlines, name);
}

export interface SpareOptions {
  ground: Ground;
  isWanted: boolean;
  freeUid(): number;
  nextSlot(): string;
}

export class SpareLauncher {
  readonly #options: SpareOptions;
  #spare: Launcher | undefined;
  #isUp = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: SpareOptions) {
    this.#options = options;
    this.#refillAfter(0);
  }

  get isReady(): boolean {
    return this.#spare !== undefined && this.#isUp;
  }

  get uids(): number[] {
    return this.#spare ? [this.#spare.hostUid] : [];
  }

  /** The caller's to enter or to remove; undefined: start one. */
  claim(): Launcher | undefined {
    if (!this.isReady) return undefined;
    const claimed = this.#spare;
    this.#spare = undefined;
    this.#refillAfter(REFILL_AFTER_MS);
    return claimed;
  }

  #refillAfter(ms: number): void {
    if (!this.#options.isWanted) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#refill(), ms);
    this.#timer.unref();
  }

  #refill(): void {
    try {
      this.#keep(this.#start());
    } catch {
      this.#refillAfter(RETRY_AFTER_MS);
    }
  }

  #start(): Launcher {
    const { ground } = this.#options;
    const hostUid = this.#options.freeUid();
    const name = this.#options.nextSlot();
    const directory = join(ground.sandboxes, name);
    const socketDirectory = join(directory, 'socket');
    mkdirSync(socketDirectory, { recursive: true, mode: 0o711 });
    mkdirSync(join(directory, 'root'), { mode: 0o711 });
    const cgroup = new Cgroup(ground.layout, join(ground.slice, name), LEAST_LIMITS);
    writeNoDeadline(ground, name, cgroup, directory);
    const link = new GuestLink(join(socketDirectory, 'guest.sock'), hostUid);
    const process = launchWaiting(hostUid, cgroup.procsFiles, ground.filterFile, GUEST_ARGV[ground.guestRuntime]);
    return { name, hostUid, directory, cgroup, link, process };
  }

  #keep(spare: Launcher): void {
    this.#spare = spare;
    this.#isUp = false;
    spare.process.stdout?.once('data', () => {
      if (this.#spare === spare) this.#isUp = true;
    });
    spare.process.once('exit', () => {
      if (this.#spare !== spare) return;
      this.#spare = undefined;
      void removeLauncher(spare, this.#options.ground).catch(() => {});
      this.#refillAfter(RETRY_AFTER_MS);
    });
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    const spare = this.#spare;
    this.#spare = undefined;
    if (spare) await removeLauncher(spare, this.#options.ground);
  }
}
