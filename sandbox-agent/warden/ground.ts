/**
 * The folders, mounts and cgroups a warden works on, and the cleaning of what an earlier one left.
 * Promise: one warden per folder; every path a sandbox is given lies under a root its own uid can reach.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { detectLayout, killAndRemove, type Layout, prepareSlice } from './cgroup.ts';
import { Fault } from './fault.ts';

import { type GuestRuntime, guestFor, ptyBindingFile, writeGuest } from './guest-build.ts';

import { IMAGE_ETC, type Level } from './image.ts';
import { gvisorFilter } from './isolate-gvisor.ts';
import type { Runsc } from './runsc.ts';
import { seccompFilter } from './seccomp.ts';

export interface Ground {
  level: Level;
  /** Only at `gvisor`. */
  runsc: Runsc | undefined;
  /** Whether commands can run on a terminal. */
  terminals: boolean;
  layout: Layout;
  /** Name of the cgroup that holds all sandboxes of this folder. */
  slice: string;
  /** Where the folders below are shown to sandboxes. */
  root: string;
  /** Per sandbox: its socket, image file and mount point. */
  sandboxes: string;
  deadlines: string;
  /** Output of commands, kept a while after the sandbox. */
  logs: string;
  /** One formatted disk image per size, which sandboxes get copies of. */
  templates: string;
  /** What outlives sandboxes, and wardens. */
  snapshots: string;
  guest: string;
  /** What the guest runs on. */
  guestRuntime: GuestRuntime;
  nodeFile: string;
  filterFile: string;
  hostUidFirst: number;
}

/** Host uids of sandboxes lie outside every range a distribution hands out, a thousand for each folder. */
const HOST_UID_FIRST = 3_000_000;
const FOLDERS_OF_UIDS = 900;
export const HOST_UIDS = 1_000;
const MOUNT_ROOT = '/run';

const nameOf = (folder: string): string => createHash('sha256').update(folder).digest('hex').slice(0, 10);

/**
 * A state folder may lie where a sandbox's uid cannot walk (below /root, for one). Shown under /run in the warden's own
 * mount namespace, it can, and the host sees nothing of it.
 */
function mountWithin(folder: string): { root: string; nodeFile: string } {
  const root = join(MOUNT_ROOT, `tallystick-${nameOf(folder)}`);
  mkdirSync(root, { recursive: true, mode: 0o711 });
  const mount = (...options: string[]): void => void execFileSync('mount', options, { stdio: 'pipe' });
  mount('-t', 'tmpfs', '-o', 'mode=711,size=1m,nosuid', 'tallystick', root);
  for (const name of ['sandboxes', 'guest']) {
    mkdirSync(join(root, name), { mode: 0o711 });
    mount('--bind', join(folder, name), join(root, name));
  }
  const nodeFile = join(root, 'node');
  writeFileSync(nodeFile, '');
  mount('--bind', process.execPath, nodeFile);
  return { root, nodeFile };
}

/** Field 22 of /proc/PID/stat tells a process from a later one with the same number. */
function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' ? undefined : rest[18];
  } catch {
    return undefined;
  }
}

/** @errors throws Fault `already_running` when a live warden holds the folder. */
function claimFolder(folder: string): void {
  const file = join(folder, 'warden.pid');
  const [pid, ticks] = existsSync(file) ? readFileSync(file, 'utf8').split(' ') : [];
  if (pid && Number(pid) !== process.pid && startTicks(Number(pid)) === ticks) {
    throw new Fault('conflict', 'already_running', `a warden (pid ${pid}) already works on this folder`);
  }
  writeFileSync(file, `${process.pid} ${startTicks(process.pid)}`, { mode: 0o600 });
}

const CLOSE_ON_EXEC = 0o2000000;

/** Descriptors that whoever started this process left open would be open in every sandbox. */
function closeInherited(): void {
  for (const name of readdirSync('/proc/self/fdinfo')) {
    const file = `/proc/self/fdinfo/${name}`;
    const flags = existsSync(file) ? /^flags:\s+(\d+)/m.exec(readFileSync(file, 'utf8'))?.[1] : undefined;
    const isInherited = flags !== undefined && (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0;
    if (Number(name) > 2 && isInherited) closeSync(Number(name));
  }
}

async function cleanLeftovers(folder: string, layout: Layout, slice: string): Promise<void> {
  await killAndRemove(layout, slice);
  for (const name of ['sandboxes', 'deadlines', 'logs', 'templates', 'guest']) {
    const directory = join(folder, name);
    for (const entry of existsSync(directory) ? readdirSync(directory) : []) {
      rmSync(join(directory, entry), { recursive: true, force: true });
    }
  }
}

function writeImageFiles(guest: string, asked: GuestRuntime | undefined): GuestRuntime {
  const runtime = writeGuest(guest, asked);
  mkdirSync(join(guest, 'etc'), { mode: 0o755 });
  for (const [name, text] of Object.entries(IMAGE_ETC)) writeFileSync(join(guest, 'etc', name), text, { mode: 0o644 });
  return runtime;
}

/**
 * Needs a private mount namespace around this process (main.ts makes it). Without `guest` the soonest one runs.
 * @errors throws Fault when the folder is taken or the machine cannot enforce limits.
 */
export async function prepareGround(
  folder: string,
  level: Level = 'ns',
  runsc?: Runsc,
  guest = guestFor(level),
): Promise<Ground> {
  closeInherited();
  const layout = detectLayout();
  mkdirSync(folder, { recursive: true, mode: 0o711 });
  claimFolder(folder);
  const slice = `tallystick-${nameOf(folder)}`;
  await cleanLeftovers(folder, layout, slice);
  prepareSlice(layout, slice);
  for (const name of ['sandboxes', 'guest']) mkdirSync(join(folder, name), { recursive: true, mode: 0o711 });
  for (const name of ['deadlines', 'logs', 'templates'])
    mkdirSync(join(folder, name), { recursive: true, mode: 0o700 });
  const guestRuntime = writeImageFiles(join(folder, 'guest'), guest);
  const filterFile = join(folder, 'seccomp.bpf');
  writeFileSync(filterFile, level === 'gvisor' ? gvisorFilter() : seccompFilter(), { mode: 0o600 });
  const { root, nodeFile } = mountWithin(folder);
  const hostUidFirst = HOST_UID_FIRST + (Number.parseInt(nameOf(folder), 16) % FOLDERS_OF_UIDS) * HOST_UIDS;
  return {
    level,
    runsc,
    terminals: ptyBindingFile() !== undefined,
    layout,
    slice,
    root,
    sandboxes: join(root, 'sandboxes'),
    guest: join(root, 'guest'),
    guestRuntime,
    deadlines: join(folder, 'deadlines'),
    logs: join(folder, 'logs'),
    templates: join(folder, 'templates'),
    snapshots: join(folder, 'snapshots'),
    nodeFile,
    filterFile,
    hostUidFirst,
  };
}

/** After the last sandbox: the slice and the folders go; the key, the events, the used names and the snapshots stay. */
export async function removeGround(ground: Ground, folder: string): Promise<void> {
  await killAndRemove(ground.layout, ground.slice);
  for (const name of ['sandboxes', 'deadlines', 'logs', 'templates', 'guest', 'warden.pid', 'seccomp.bpf']) {
    rmSync(join(folder, name), { recursive: true, force: true });
  }
  // The reaper of a warden that worked here has removed it already.
  if (!existsSync(ground.root)) return;
  execFileSync('umount', ['--recursive', ground.root], { stdio: 'pipe' });
  rmSync(ground.root, { recursive: true, force: true });
}
