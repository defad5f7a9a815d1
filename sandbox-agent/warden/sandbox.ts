/**
 * One sandbox from directory to destroyed: cgroup, disk, socket and the guest inside.
 * Promise: `destroy` returns when no process, mount, loop device, cgroup or file of it is left.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cgroup, type Limits } from './cgroup.ts';
import { removeDeadline } from './deadline-file.ts';
import { type Disk, planDisk, prepareDisk } from './disk.ts';
import { Fault } from './fault.ts';
import type { Ground } from './ground.ts';
import { GuestLink } from './guest-link.ts';
import { fileUid, type Isolation, type Level } from './image.ts';
import { enterWaiting, GUEST_ARGV, launch } from './isolate.ts';
import { type Launcher, removeLauncher } from './spare-launcher.ts';

export interface Shape extends Limits {
  diskBytesMax: number;
}

export const START_MS_MAX = 15_000;
/** After this long the whole tree is killed at once, zombie or not. */
const POLITE_MS = 500;
const COMPLAINT_CHARS_MAX = 2_000;

/** Host threads that the sentry takes for itself, and for each process of the tenant: measured 50 and 10. */
const SENTRY_THREADS = 256;
const SENTRY_THREADS_PER_PROCESS = 16;

/** What the cgroup of a sandbox with these limits is set to. */
export const limitsAt = (level: Level, limits: Limits): Limits =>
  level === 'gvisor' ? { ...limits, pidsMax: SENTRY_THREADS + limits.pidsMax * SENTRY_THREADS_PER_PROCESS } : limits;

/** What `launch` needs for a sandbox in `directory`, which has `root` and `socket` in it. */
export function isolationOf(
  ground: Ground,
  directory: string,
  hostUid: number,
  disk: Disk,
  procsFiles: string[],
): Isolation {
  const { level, runsc, filterFile, nodeFile, guest: guestDirectory } = ground;
  const socketDirectory = join(directory, 'socket');
  const rootDirectory = join(directory, 'root');
  const given = { hostUid, disk, procsFiles, socketDirectory, rootDirectory };
  return { level, runsc, filterFile, nodeFile, guestDirectory, ...given };
}

export class Sandbox {
  readonly name: string;
  readonly hostUid: number;
  /** Host uid of what the tenant may open: its files and sockets. */
  readonly ownerUid: number;
  readonly directory: string;
  /** Shown read-only inside. */
  readonly socketDirectory: string;
  readonly cgroup: Cgroup;
  readonly link: GuestLink;
  readonly process: ChildProcess;
  /** Settles when the outermost process is gone. */
  readonly gone: Promise<void>;
  #complaint = '';

  private constructor(
    { name, hostUid, directory }: { name: string; hostUid: number; directory: string },
    cgroup: Cgroup,
    link: GuestLink,
    child: ChildProcess,
    level: Level,
  ) {
    this.name = name;
    this.hostUid = hostUid;
    this.ownerUid = fileUid(level, hostUid);
    this.directory = directory;
    this.socketDirectory = join(directory, 'socket');
    this.cgroup = cgroup;
    this.link = link;
    this.process = child;
    child.stdout?.resume();
    child.stderr?.on('data', (bytes) => {
      this.#complaint = (this.#complaint + bytes).slice(0, COMPLAINT_CHARS_MAX);
    });
    this.gone = new Promise((resolve) => child.once('close', () => resolve()));
    child.once('exit', () => link.close());
  }

  /** `beforeLaunch` runs when nothing runs in the cgroup yet; `prepare` makes the disk. @errors rejects and leaves nothing behind. */
  static async launch(
    ground: Ground,
    name: string,
    hostUid: number,
    shape: Shape,
    beforeLaunch: (cgroup: Cgroup, directory: string) => void = () => {},
    prepare: (disk: Disk, ownerUid: number) => Promise<void> = (disk, uid) => prepareDisk(disk, uid, ground.templates),
  ): Promise<Sandbox> {
    const directory = join(ground.sandboxes, name);
    const socketDirectory = join(directory, 'socket');
    mkdirSync(socketDirectory, { recursive: true, mode: 0o711 });
    mkdirSync(join(directory, 'root'), { mode: 0o711 });
    const cgroup = new Cgroup(ground.layout, join(ground.slice, name), limitsAt(ground.level, shape));
    const link = new GuestLink(join(socketDirectory, 'guest.sock'), fileUid(ground.level, hostUid));
    try {
      const disk = planDisk(directory, shape.diskBytesMax);
      await prepare(disk, fileUid(ground.level, hostUid));
      beforeLaunch(cgroup, directory);
      const child = launch(
        isolationOf(ground, directory, hostUid, disk, cgroup.procsFiles),
        GUEST_ARGV[ground.guestRuntime],
      );
      return new Sandbox({ name, hostUid, directory }, cgroup, link, child, ground.level);
    } catch (fault) {
      link.close();
      await cgroup.remove();
      rmSync(directory, { recursive: true, force: true });
      throw fault;
    }
  }

  /** As `launch`, from a launcher that waited. @errors rejects and leaves nothing behind. */
  static async enter(
    ground: Ground,
    launcher: Launcher,
    shape: Shape,
    beforeLaunch: (cgroup: Cgroup, directory: string) => void = () => {},
    prepare: (disk: Disk, ownerUid: number) => Promise<void> = (disk, uid) => prepareDisk(disk, uid, ground.templates),
  ): Promise<Sandbox> {
    const { directory, hostUid, cgroup, link, process } = launcher;
    try {
      cgroup.raise(shape);
      const disk = planDisk(directory, shape.diskBytesMax);
      await prepare(disk, hostUid);
      beforeLaunch(cgroup, directory);
      removeDeadline(ground.deadlines, launcher.name);
      await enterWaiting(process, isolationOf(ground, directory, hostUid, disk, cgroup.procsFiles));
      return new Sandbox(launcher, cgroup, link, process, ground.level);
    } catch (fault) {
      await removeLauncher(launcher, ground);
      throw fault;
    }
  }

  /** Resolves when the guest has dialled. @errors rejects with Fault `start_failed` and the launcher's complaint. */
  async ready(): Promise<this> {
    const fail = (cause: string): never => {
      throw new Fault('refused', 'start_failed', `the sandbox did not start: ${cause}`, { cause });
    };
    const waiting = new AbortController();
    const options = { ref: false, signal: waiting.signal };
    const died = this.gone.then(() =>
      fail(this.#complaint.trim() || `the launcher ended (${this.process.exitCode ?? this.process.signalCode})`),
    );
    const late = sleep(START_MS_MAX, undefined, options).then(() => fail(`no guest after ${START_MS_MAX} ms`));
    died.catch(() => {});
    late.catch(() => {});
    try {
      await Promise.race([this.link.ready, died, late]);
    } finally {
      waiting.abort();
    }
    return this;
  }

  /** Works on a frozen tree, too: nothing of the tenant runs again. `beforeRemoval` may take its files away. */
  async destroy(beforeRemoval: () => Promise<void> = async () => {}): Promise<void> {
    await endTree(this.process, this.gone, this.cgroup);
    this.link.close();
    await this.cgroup.remove();
    await beforeRemoval();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/**
 * Also works on a frozen tree: v2 lets a kill through. The namespace's init goes first and takes all below with it, so
 * that the outer process lives to collect it: killed together, they would leave a zombie to the host's pid 1.
 * It is thawed only when it is alone: an earlier thaw would let the tenant run unpaid for the moment before it dies.
 */
export async function endTree(outer: ChildProcess, gone: Promise<unknown>, cgroup: Cgroup): Promise<void> {
  if (outer.exitCode === null && outer.signalCode === null) {
    killNamespaceInit(outer, cgroup);
    await emptyButForOuter(outer, cgroup);
    cgroup.thaw();
  } else cgroup.kill();
  const slow = setTimeout(() => cgroup.kill(), POLITE_MS);
  await gone;
  clearTimeout(slow);
}

async function emptyButForOuter(outer: ChildProcess, cgroup: Cgroup): Promise<void> {
  const giveUpAtMs = performance.now() + POLITE_MS;
  while (cgroup.pids().some((pid) => pid !== outer.pid)) {
    if (performance.now() > giveUpAtMs) return void cgroup.kill();
    await sleep(1);
  }
}

function killNamespaceInit({ pid: outer }: ChildProcess, cgroup: Cgroup): void {
  try {
    const inits = readFileSync(`/proc/${outer}/task/${outer}/children`, 'utf8').trim();
    if (inits === '') cgroup.kill();
    for (const pid of inits.split(' ').filter(Boolean)) process.kill(Number(pid), 'SIGKILL');
  } catch {
    cgroup.kill();
  }
}
