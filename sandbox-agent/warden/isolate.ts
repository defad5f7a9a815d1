/**
 * Starts one process inside namespaces, a seccomp filter, cgroups and a bounded writable layer (level `ns`).
 * Promise: when the parent dies, the whole tree and its mounts die with it; the tenant inherits nothing of the warden.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { setPriority } from 'node:os';
import type { Duplex } from 'node:stream';
import { promisify } from 'node:util';
import type { Disk } from './disk.ts';
import type { GuestRuntime } from './guest-build.ts';
import {
  GUEST_UID,
  HOME,
  IMAGE_ETC,
  type Isolation,
  type Level,
  OF_ETC,
  SCRATCH_BYTES,
  SECRETS_DISK_BYTES,
  SECRETS_FOLDER,
  setprivArguments,
  TENANT_PATH,
} from './image.ts';
import { gvisorCommand, MAP_FD, mapIds } from './isolate-gvisor.ts';
import { liteCommand } from './isolate-lite.ts';

/** What starts the guest, by what it runs on. */
export const GUEST_ARGV: Record<GuestRuntime, string[]> = {
  bun: ['/opt/guest/guest'],
  node: ['/opt/node/bin/node', '--max-semi-space-size=1', '--single-threaded-gc', '/opt/guest/guest.cjs'],
};
const SECCOMP_FD = 3;
/** --clearenv spares bubblewrap's own pid 1, whose /proc/1/environ the tenant can read: the warden's must never get there. */
export const LAUNCHER_ENV = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };
/**
 * Runs as root, before anything of the tenant exists: joins the cgroups, mounts the disk, then becomes the sandbox.
 * The mount is made in a mount namespace of its own, so it never shows on the host and ends with the last process.
 */
const LAUNCHER = `set -e
while [ "$1" != -- ]; do echo 0 > "$1"; shift; done; shift
if [ -n "$1" ]; then mount -t ext4 -o loop,nosuid,nodev,noatime "$1" "$2"; fi
shift 2
exec "$@"`;

function imageArguments(isolation: Isolation): string[] {
  const links = ['bin', 'sbin', 'lib', 'lib64'].flatMap((name) => ['--symlink', `usr/${name}`, `/${name}`]);
  const shared = OF_ETC.flatMap((name) => ['--ro-bind-try', `/etc/${name}`, `/etc/${name}`]);
  const own = Object.keys(IMAGE_ETC).flatMap((name) => [
    '--ro-bind',
    `${isolation.guestDirectory}/etc/${name}`,
    `/etc/${name}`,
  ]);
  return ['--ro-bind', '/usr', '/usr', ...links, ...shared, ...own];
}

function writableArguments(disk: Disk): string[] {
  const home =
    disk.kind === 'image' ? ['--bind', disk.mountPoint, HOME] : ['--size', String(disk.bytesMax), '--tmpfs', HOME];
  const scratch = ['/tmp', '/dev/shm'].flatMap((path) => ['--size', String(SCRATCH_BYTES), '--tmpfs', path]);
  return [...home, ...scratch];
}

/** bubblewrap's own / and /dev are tmpfs without a size: they go read-only last, or they would be unbounded disks. */
export function bwrapArguments(isolation: Isolation): string[] {
  const env = { PATH: TENANT_PATH, HOME, USER: 'user', LANG: 'C.UTF-8' };
  const namespaces = ['user', 'pid', 'net', 'ipc', 'uts', 'cgroup'].map((name) => `--unshare-${name}`);
  return [
    ...namespaces,
    ...['--uid', GUEST_UID, '--gid', GUEST_UID, '--hostname', 'sandbox', '--cap-drop', 'ALL'],
    ...['--die-with-parent', '--new-session', '--seccomp', String(SECCOMP_FD), '--clearenv'],
    ...Object.entries(env).flatMap(([name, value]) => ['--setenv', name, value]),
    ...imageArguments(isolation),
    ...['--proc', '/proc', '--dev', '/dev'],
    ...writableArguments(isolation.disk),
    ...['--ro-bind', isolation.nodeFile, '/opt/node/bin/node', '--ro-bind', isolation.socketDirectory, '/run/guest'],
    ...['--ro-bind', isolation.guestDirectory, '/opt/guest'],
    ...['--perms', '0700', '--size', String(SECRETS_DISK_BYTES), '--tmpfs', SECRETS_FOLDER],
    ...['--remount-ro', '/dev', '--remount-ro', '/', '--chdir', HOME],
  ];
}

function enterByBwrap(isolation: Isolation, argv: string[]): string[] {
  return ['setpriv', ...setprivArguments(isolation.hostUid), 'bwrap', ...bwrapArguments(isolation), '--', ...argv];
}

const run = promisify(execFile);

const ENTER: Record<Level, (isolation: Isolation, argv: string[]) => string[]> = {
  gvisor: gvisorCommand,
  ns: enterByBwrap,
  'ns-lite': liteCommand,
};

type Stdio = ('ignore' | 'pipe' | number)[];
const STDIO: Stdio = ['ignore', 'pipe', 'pipe'];
const start = (command: string[], stdio: Stdio): ChildProcess =>
  spawn(command[0] as string, command.slice(1), { env: LAUNCHER_ENV, cwd: '/', stdio });

/** Each launch opens the filter anew: a shared descriptor shares its offset. */
function startFiltered(command: string[], filterFile: string): ChildProcess {
  const filter = openSync(filterFile, 'r');
  const child = start(command, [...STDIO, filter]);
  closeSync(filter);
  return child;
}

function startMapped(command: string[], hostUid: number): ChildProcess {
  const child = start(command, [...STDIO, 'pipe']);
  if (child.pid !== undefined) mapIds(child.pid, child.stdio[MAP_FD] as Duplex, hostUid);
  return child;
}

const ARGUMENTS_FD = 4;
/** Says when it has joined its cgroups, in the mount namespace in which the sandbox's disk may then be mounted. */
const WAITING_LAUNCHER = `set -e
while [ "$1" != -- ]; do echo 0 > "$1"; shift; done; shift
echo up
exec "$@"`;

/** At level `ns`: a launcher as far as it gets without a shape. It says one line and waits in bubblewrap for `enterWaiting`. */
export function launchWaiting(hostUid: number, procsFiles: string[], filterFile: string, argv: string[]): ChildProcess {
  const enter = ['setpriv', ...setprivArguments(hostUid), 'bwrap', '--args', String(ARGUMENTS_FD), '--', ...argv];
  const shell = ['sh', '-c', WAITING_LAUNCHER, 'launcher', ...procsFiles, '--', ...enter];
  const filter = openSync(filterFile, 'r');
  const child = start(['unshare', '--mount', '--propagation', 'private', '--', ...shell], [...STDIO, filter, 'pipe']);
  closeSync(filter);
  (child.stdio[ARGUMENTS_FD] as Duplex).on('error', () => {}); // its end is told by its exit
  if (child.pid !== undefined) setPriority(child.pid, 0);
  return child;
}

/** @errors rejects when the disk cannot be mounted. */
export async function enterWaiting(child: ChildProcess, isolation: Isolation): Promise<void> {
  const { disk } = isolation;
  if (disk.kind === 'image') {
    const mount = ['mount', '-t', 'ext4', '-o', 'loop,nosuid,nodev,noatime', disk.file, disk.mountPoint];
    await run('nsenter', [`--mount=/proc/${child.pid}/ns/mnt`, '--', ...mount], { env: LAUNCHER_ENV });
  }
  (child.stdio[ARGUMENTS_FD] as Duplex).end(`${bwrapArguments(isolation).join('\0')}\0`);
}

/** Starts `argv` in the sandbox. stdout and stderr are pipes; stdin is closed. */
export function launch(isolation: Isolation, argv: string[]): ChildProcess {
  const { disk, procsFiles } = isolation;
  const isImage = disk.kind === 'image';
  const mountPair = isImage ? [disk.file, disk.mountPoint] : ['', ''];
  const privateMounts = isImage ? ['unshare', '--mount', '--propagation', 'private', '--'] : [];
  const enter = ENTER[isolation.level](isolation, argv);
  const command = [...privateMounts, 'sh', '-c', LAUNCHER, 'launcher', ...procsFiles, '--', ...mountPair, ...enter];
  const isMapped = isolation.level === 'gvisor';
  const child = isMapped ? startMapped(command, isolation.hostUid) : startFiltered(command, isolation.filterFile);
  // The warden's own high priority is not for the tenant.
  if (child.pid !== undefined) setPriority(child.pid, 0);
  return child;
}
