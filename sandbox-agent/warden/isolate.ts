/**
 * Starts one process inside namespaces, a seccomp filter, cgroups and a bounded writable layer (level `ns`).
 * Promise: when the parent dies, the whole tree and its mounts die with it; the tenant inherits nothing of the warden.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { setPriority } from 'node:os';
import type { Disk } from './disk.ts';

export interface Isolation {
  /** Host uid and gid, different for every sandbox. */
  hostUid: number;
  disk: Disk;
  /** File with the seccomp filter's bytes. */
  filterFile: string;
  /** Host file shown read-only as /opt/node/bin/node. */
  nodeFile: string;
  /** Host directory shown read-only at /run/guest: the guest's socket. */
  socketDirectory: string;
  /** Host directory shown read-only at /opt/guest: the guest's program, and /etc files of the image. */
  guestDirectory: string;
  /** Files that a joining process writes 0 into. */
  procsFiles: string[];
}

export const HOME = '/home/user';
export const TENANT_PATH = '/opt/node/bin:/usr/local/bin:/usr/bin:/bin';
export const GUEST_ARGV = [
  '/opt/node/bin/node',
  '--max-semi-space-size=1',
  '--single-threaded-gc',
  '/opt/guest/guest.mjs',
];
const GUEST_UID = '1000';
const SCRATCH_BYTES = 16 * 1024 * 1024;
const SECCOMP_FD = 3;
/** --clearenv spares bubblewrap's own pid 1, whose /proc/1/environ the tenant can read: the warden's must never get there. */
export const LAUNCHER_ENV = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };
const OF_ETC = ['alternatives', 'ld.so.cache', 'ld.so.conf', 'ld.so.conf.d', 'ssl/certs'];
/** Files of /etc that the image brings itself: nothing of the host's users or names shows. */
export const IMAGE_ETC: Record<string, string> = {
  passwd: `root:x:0:0:root:/:/usr/sbin/nologin\nuser:x:${GUEST_UID}:${GUEST_UID}:user:${HOME}:/bin/sh\n`,
  group: `root:x:0:\nuser:x:${GUEST_UID}:\n`,
  hosts: '127.0.0.1 localhost sandbox\n::1 localhost\n',
};

/**
 * Runs as root, before anything of the tenant exists: joins the cgroups, mounts the disk, then becomes the sandbox.
 * The mount is made in a mount namespace of its own, so it never shows on the host and ends with the last process.
 */
const LAUNCHER = `set -e
while [ "$1" != -- ]; do echo 0 > "$1"; shift; done; shift
if [ -n "$1" ]; then mount -t ext4 -o loop,nosuid,nodev,noatime "$1" "$2"; rmdir "$2/lost+found"; fi
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
    ...['--remount-ro', '/dev', '--remount-ro', '/', '--chdir', HOME],
  ];
}

/** Launched by root, bubblewrap alone would stay host uid 0; setpriv gives every sandbox its own. */
export function setprivArguments(hostUid: number): string[] {
  return [
    `--reuid=${hostUid}`,
    `--regid=${hostUid}`,
    '--clear-groups',
    '--inh-caps=-all',
    '--bounding-set=-all',
    '--no-new-privs',
  ];
}

/** Starts `argv` in the sandbox. stdout and stderr are pipes; stdin is closed. Each launch opens the filter anew: a shared descriptor shares its offset. */
export function launch(isolation: Isolation, argv: string[]): ChildProcess {
  const { disk, hostUid, procsFiles } = isolation;
  const isImage = disk.kind === 'image';
  const mountPair = isImage ? [disk.file, disk.mountPoint] : ['', ''];
  const privateMounts = isImage ? ['unshare', '--mount', '--propagation', 'private', '--'] : [];
  const bwrap = ['setpriv', ...setprivArguments(hostUid), 'bwrap', ...bwrapArguments(isolation), '--', ...argv];
  const command = [...privateMounts, 'sh', '-c', LAUNCHER, 'launcher', ...procsFiles, '--', ...mountPair, ...bwrap];
  const filter = openSync(isolation.filterFile, 'r');
  const stdio: ('ignore' | 'pipe' | number)[] = ['ignore', 'pipe', 'pipe', filter];
  const child = spawn(command[0] as string, command.slice(1), { env: LAUNCHER_ENV, cwd: '/', stdio });
  closeSync(filter);
  // The warden's own high priority is not for the tenant.
  if (child.pid !== undefined) setPriority(child.pid, 0);
  return child;
}
