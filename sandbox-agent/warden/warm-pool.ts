/**
 * Sandboxes that are booted ahead of anybody's asking: frozen, unowned, without a key or a lease.
 * Promise: at most as many as were configured and as memory allows; one is given away once, and none outlives the warden.
 */
import { freemem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cgroup } from './cgroup.ts';
import { removeDeadline } from './deadline-file.ts';
import type { Ground } from './ground.ts';
import type { GuestLink } from './guest-link.ts';
import { limitsAt, Sandbox, type Shape } from './sandbox.ts';
import { LEAST_LIMITS, SpareLauncher, writeNoDeadline } from './spare-launcher.ts';

export interface WarmPoolOptions {
  ground: Ground;
  /** 0: no pool. At most WARM_MAX. */
  size: number;
  /** The one disk size that is kept: a disk cannot be resized at the claim, every other limit can. */
  diskBytesMax: number;
  /** Whether a launcher waits beside the pool; only at level `ns`. */
  spare?: boolean;
  /** A host uid that nobody has; the pool's own are in `uids`. */
  freeUid(): number;
  /** A name for a folder and a cgroup that no sandbox had since the warden's start. */
  nextSlot(): string;
}

export const WARM_MAX = 16;
/** The machine keeps this much memory for sandboxes that are paid for. */
const FREE_BYTES_MIN = 256 << 20;
/** A claim's first command goes before the next boot. */
const REFILL_AFTER_MS = 250;
const RETRY_AFTER_MS = 5_000;
const FREEZE_MS_MAX = 2_000;
/** Has the guest load what every first command needs; it leaves nothing behind. */
const WARM_UP = { argv: ['/usr/bin/true'], hasStdin: false, timeoutMs: 5_000 };

export class WarmPool {
  readonly #options: WarmPoolOptions;
  /** For what the pool has not: it starts from nothing, but for this. */
  readonly spare: SpareLauncher;
  readonly #ready: Sandbox[] = [];
  #bootingUid: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #filling: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: WarmPoolOptions) {
    this.#options = options;
    const isWanted = options.spare === true && options.ground.level === 'ns';
    this.spare = new SpareLauncher({ ...options, isWanted });
    this.#fillAfter(0);
  }

  get readyCount(): number {
    return this.#ready.length;
  }

  /** Host uids that are taken by the pool. */
  get uids(): number[] {
    const ready = this.#ready.map((sandbox) => sandbox.hostUid);
    const booting = this.#bootingUid === undefined ? [] : [this.#bootingUid];
    return [...ready, ...booting, ...this.spare.uids];
  }

  /** A frozen sandbox with the limits of `shape`, now the caller's to hold, thaw and destroy; undefined: start one. */
  claim(shape: Shape): Sandbox | undefined {
    if (shape.diskBytesMax !== this.#options.diskBytesMax) return undefined;
    const sandbox = this.#ready.shift();
    if (!sandbox) return undefined;
    this.#fillAfter(REFILL_AFTER_MS);
    try {
      sandbox.cgroup.raise(limitsAt(this.#options.ground.level, shape));
      return sandbox;
    } catch {
      void this.#discard(sandbox);
      return undefined;
    }
  }

  /** The claimer's own deadline stands now: the pool's may go. */
  handOver(sandbox: Sandbox): void {
    removeDeadline(this.#options.ground.deadlines, sandbox.name);
  }

  #fillAfter(ms: number): void {
    if (this.#isClosed || this.#timer || this.#options.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#filling = this.#fill();
    }, ms);
  }

  /** One at a time: a pool that fills must not take the machine from who has paid. */
  async #fill(): Promise<void> {
    let wait = 0;
    try {
      while (!this.#isClosed && this.#ready.length < this.#options.size && wait === 0) {
        if (freemem() < FREE_BYTES_MIN) wait = RETRY_AFTER_MS;
        else this.#keep(await this.#boot());
      }
    } catch {
      wait = RETRY_AFTER_MS;
    }
    this.#timer = undefined;
    if (wait > 0 || this.#ready.length < this.#options.size) this.#fillAfter(wait);
  }

  async #boot(): Promise<Sandbox> {
    const { ground, diskBytesMax } = this.#options;
    const uid = this.#options.freeUid();
    const slot = this.#options.nextSlot();
    this.#bootingUid = uid;
    let sandbox: Sandbox | undefined;
    try {
      sandbox = await Sandbox.launch(ground, slot, uid, { ...LEAST_LIMITS, diskBytesMax }, (cgroup, directory) =>
        writeNoDeadline(ground, slot, cgroup, directory),
      );
      await sandbox.ready();
      await warmUp(sandbox.link);
      await freeze(sandbox.cgroup);
      return sandbox;
    } catch (fault) {
      await sandbox?.destroy();
      removeDeadline(ground.deadlines, slot);
      throw fault;
    } finally {
      this.#bootingUid = undefined;
    }
  }

  #keep(sandbox: Sandbox): void {
    this.#ready.push(sandbox);
    void sandbox.gone.then(() => {
      const at = this.#ready.indexOf(sandbox);
      if (at < 0) return;
      this.#ready.splice(at, 1);
      void this.#discard(sandbox);
      this.#fillAfter(RETRY_AFTER_MS);
    });
  }

  /** What cannot be removed keeps its deadline, and so its place on the reaper's list. */
  async #discard(sandbox: Sandbox): Promise<void> {
    try {
      await sandbox.destroy();
      removeDeadline(this.#options.ground.deadlines, sandbox.name);
    } catch {
      sandbox.cgroup.kill();
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#filling;
    await Promise.all([this.spare.close(), ...this.#ready.splice(0).map((sandbox) => this.#discard(sandbox))]);
  }
}

function warmUp(link: GuestLink): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (): void => reject(new Error('the guest did not warm up'));
    link.open('exec', WARM_UP, { onEnd: () => resolve(), onFault: fail, onLost: fail });
  });
}

async function freeze(cgroup: Cgroup): Promise<void> {
  cgroup.freeze();
  const giveUpAtMs = performance.now() + FREEZE_MS_MAX;
  while (!cgroup.isFrozen()) {
    if (performance.now() > giveUpAtMs) throw new Error(`not frozen after ${FREEZE_MS_MAX} ms`);
    await sleep(1);
  }
}
