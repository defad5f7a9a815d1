/**
 * Finds out what this machine can enforce, by doing it: a real process in a real sandbox, frozen and thawed.
 * Promise: a machine that passes can start, limit, freeze and end a sandbox; one that fails is told what is missing.
 */
import { once } from 'node:events';
import { accessSync, constants, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cgroup, detectLayout } from './cgroup.ts';
import { planDisk } from './disk.ts';
import { Fault } from './fault.ts';
import type { Ground } from './ground.ts';
import type { Level } from './image.ts';
import { LAUNCHER_ENV, launch } from './isolate.ts';
import { endTree, isolationOf, limitsAt, Sandbox } from './sandbox.ts';

/** Something that is not there: what, what is lost without it, and how to get it. */
export interface Missing {
  what: string;
  lost: string;
  hint: string;
}

export interface Probe {
  /** Undefined: nothing here can isolate. */
  level: Level | undefined;
  missing: Missing[];
}

const NEEDED: [program: string, lost: string, hint: string][] = [
  ['setpriv', 'a host uid of its own for each sandbox', 'apt-get install util-linux'],
  ['unshare', 'private mounts', 'apt-get install util-linux'],
  ['mount', 'private mounts', 'apt-get install mount'],
  ['mkfs.ext4', 'disks of 256 MiB and more', 'apt-get install e2fsprogs'],
];
const BWRAP: Missing = {
  what: 'bwrap',
  lost: 'level ns: user namespace and system call filter',
  hint: 'apt-get install bubblewrap',
};
const TRIAL_LIMITS = { cpuMillis: 1_000, memoryBytesMax: 64 << 20, pidsMax: 32 };
const TRIAL_DISK_BYTES = 1 << 20;
const TRIAL_MS_MAX = 5_000;

function isThere(program: string): boolean {
  return LAUNCHER_ENV.PATH.split(':').some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** What can be seen without doing anything: platform, user, programs, cgroups. */
export function probe(): Probe {
  const missing: Missing[] = [];
  if (process.platform !== 'linux') missing.push({ what: 'Linux', lost: 'every sandbox', hint: 'use a Linux machine' });
  if (process.getuid?.() !== 0) missing.push({ what: 'root', lost: 'every sandbox', hint: 'run as root' });
  for (const [what, lost, hint] of NEEDED) if (!isThere(what)) missing.push({ what, lost, hint });
  try {
    detectLayout();
  } catch (fault) {
    missing.push({ what: 'cgroups', lost: (fault as Error).message, hint: 'mount cgroup2 with cpu, memory and pids' });
  }
  if (missing.length > 0) return { level: undefined, missing };
  if (process.arch !== 'x64') {
    return { level: 'ns-lite', missing: [{ ...BWRAP, what: 'x86-64', hint: 'the system call filter is for x86-64' }] };
  }
  return isThere('bwrap') ? { level: 'ns', missing } : { level: 'ns-lite', missing: [BWRAP] };
}

async function waitFor(what: string, isSo: () => boolean): Promise<void> {
  const giveUpAtMs = performance.now() + TRIAL_MS_MAX;
  while (!isSo()) {
    if (performance.now() > giveUpAtMs)
      throw new Fault('refused', 'cannot_isolate', `the trial did not ${what} in time`);
    await sleep(1);
  }
}

/** Starts `sleep` in a sandbox of the ground's level, freezes, thaws and ends it. @errors rejects with Fault `cannot_isolate` */
export async function tryIsolation(ground: Ground): Promise<void> {
  const directory = join(ground.sandboxes, 'trial');
  for (const name of ['socket', 'root']) mkdirSync(join(directory, name), { recursive: true, mode: 0o711 });
  const cgroup = new Cgroup(ground.layout, join(ground.slice, 'trial'), limitsAt(ground.level, TRIAL_LIMITS));
  const disk = planDisk(directory, TRIAL_DISK_BYTES);
  const isolation = isolationOf(ground, directory, ground.hostUidFirst, disk, cgroup.procsFiles);
  const child = launch(isolation, ['/bin/sh', '-c', 'echo in; exec sleep 60']);
  let complaint = '';
  child.stderr?.on('data', (bytes) => {
    complaint += bytes;
  });
  const closed = once(child, 'close');
  try {
    const isIn = await Promise.race([
      once(child.stdout as NodeJS.ReadableStream, 'data'),
      closed.then(() => undefined),
    ]);
    if (!isIn)
      throw new Fault('refused', 'cannot_isolate', `the trial did not start: ${complaint.trim().slice(0, 500)}`);
    cgroup.freeze();
    await waitFor('freeze', () => cgroup.isFrozen());
    cgroup.thaw();
    await waitFor('thaw', () => !cgroup.isFrozen());
  } finally {
    await endTree(child, closed, cgroup);
    await cgroup.remove();
    rmSync(directory, { recursive: true, force: true });
  }
}

const TERMINAL = { argv: ['cat'], tty: { columns: 80, rows: 24 }, hasStdin: true, timeoutMs: 2_000 };
const END_OF_INPUT = Buffer.from([4]);

/** Whether typed control keys reach a command: older `runsc` carry them as plain bytes. */
function hasTerminals({ link }: Sandbox): Promise<boolean> {
  return new Promise((resolve) => {
    const fail = (): void => resolve(false);
    const call = link.open('exec', TERMINAL, {
      onBytes: (_, bytes) => call.credit(bytes.length),
      onEnd: ({ end }) => resolve(end === 'exited'),
      onFault: fail,
      onLost: fail,
    });
    void call.write(END_OF_INPUT);
  });
}

/** A whole sandbox whose guest is heard; tells what it can do. @errors rejects with Fault `start_failed` */
export async function tryGuest(ground: Ground): Promise<{ terminals: boolean }> {
  const shape = { ...TRIAL_LIMITS, diskBytesMax: TRIAL_DISK_BYTES };
  const sandbox = await Sandbox.launch(ground, 'trial', ground.hostUidFirst, shape);
  try {
    await sandbox.ready();
    return { terminals: await hasTerminals(sandbox) };
  } finally {
    await sandbox.destroy();
  }
}
