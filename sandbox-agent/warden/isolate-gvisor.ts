/**
 * The way in through gVisor (level `gvisor`): `runsc` with its own kernel, inside the namespaces that level `ns` uses.
 * Promise: the tenant's system calls end in the sentry; what would break out of it is a process of the sandbox's own
 * uid, in its cgroups, with its disk, without a network and without a host file but the image.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { Disk } from './disk.ts';
import {
  fileUid,
  GUEST_UID,
  HOME,
  IMAGE_ETC,
  type Isolation,
  OF_ETC,
  SCRATCH_BYTES,
  SECRETS_DISK_BYTES,
  SECRETS_FOLDER,
  TENANT_PATH,
} from './image.ts';
import { runscArguments } from './runsc.ts';
import { REFUSED_CALLS } from './seccomp.ts';

/** Descriptor of the talk between the warden, which may write an id map, and the shell that waits for it. */
export const MAP_FD = 3;
/** Before the map is written the shell has no uid: only its capabilities carry it over the exec. */
const AWAIT_MAP = `echo >&${MAP_FD}; read _ <&${MAP_FD}; exec ${MAP_FD}>&-; exec "$@"`;
/** Reaps what the tenant's processes leave behind: the guest is no init. Its end is the sandbox's. */
const INIT = '"$@" & wait $!';
const IMAGE = '/image';
const SOCKETS = '/run/guest';
const STATE_BYTES = 1024 * 1024;
const NEW_USER_NAMESPACE = 0x10000000;

// --- what runs inside, in the words of the OCI runtime specification

const refuse = (names: string[], more: object = {}): object => ({
  names,
  action: 'SCMP_ACT_ERRNO',
  errnoRet: 1,
  ...more,
});

/** The same calls that `ns` refuses, in the sentry. A traced call without a tracer fails with ENOSYS, as clone3 has to. */
function systemCallRules(): object {
  const hasFlag = { index: 0, value: NEW_USER_NAMESPACE, valueTwo: NEW_USER_NAMESPACE, op: 'SCMP_CMP_MASKED_EQ' };
  const syscalls = [
    refuse(Object.keys(REFUSED_CALLS)),
    refuse(['clone'], { args: [hasFlag] }),
    { names: ['clone3'], action: 'SCMP_ACT_TRACE' },
  ];
  return { defaultAction: 'SCMP_ACT_ALLOW', architectures: ['SCMP_ARCH_X86_64'], syscalls };
}

/** The rules as bytes, for the hash that an attestation names. */
export const gvisorFilter = (): Buffer => Buffer.from(JSON.stringify(systemCallRules()));

function memoryDisk(destination: string, bytesMax: number, ...more: string[]): object {
  const options = ['nosuid', 'nodev', `size=${bytesMax}`, ...more];
  return { destination, type: 'tmpfs', source: 'tmpfs', options };
}

function mountsOf(disk: Disk): object[] {
  const own = [`uid=${GUEST_UID}`, `gid=${GUEST_UID}`];
  const bound = { destination: HOME, type: 'bind', source: `${IMAGE}${HOME}`, options: ['rw', 'nosuid', 'nodev'] };
  const home = disk.kind === 'image' ? bound : memoryDisk(HOME, disk.bytesMax, 'mode=0755', ...own);
  const scratch = ['/tmp', '/dev/shm'].map((path) => memoryDisk(path, SCRATCH_BYTES, 'mode=1777'));
  const secrets = memoryDisk(SECRETS_FOLDER, SECRETS_DISK_BYTES, 'mode=0700', ...own);
  // A mount of its own is looked at anew each time: the socket of a way out comes and goes while the sandbox runs.
  const sockets = {
    destination: SOCKETS,
    type: 'bind',
    source: `${IMAGE}${SOCKETS}`,
    options: ['ro', 'nosuid', 'nodev'],
  };
  return [{ destination: '/proc', type: 'proc', source: 'proc' }, home, ...scratch, secrets, sockets];
}

function bundleOf(isolation: Isolation, argv: string[]): object {
  const ids = { uid: Number(GUEST_UID), gid: Number(GUEST_UID) };
  const env = [`PATH=${TENANT_PATH}`, `HOME=${HOME}`, 'USER=user', 'LANG=C.UTF-8'];
  const args = ['/bin/sh', '-c', INIT, 'init', ...argv];
  return {
    ociVersion: '1.0.2',
    hostname: 'sandbox',
    root: { path: IMAGE, readonly: true },
    process: { user: ids, args, cwd: HOME, env, noNewPrivileges: true, capabilities: {} },
    mounts: mountsOf(isolation.disk),
    linux: {
      namespaces: ['pid', 'network', 'ipc', 'uts', 'mount'].map((type) => ({ type })),
      seccomp: systemCallRules(),
    },
  };
}

// --- what runs around it

/** Made by name: what bubblewrap makes on its way to a mount only root may enter. */
const FOLDERS = ['', '/etc', '/etc/ssl', '/home', '/opt', '/opt/node', '/opt/node/bin', '/run', SECRETS_FOLDER];
const MOUNT_POINTS = ['/proc', '/sys', '/dev', '/tmp', HOME];

/** The image below /image, so that the tenant's root is not the one that `runsc` itself works on. */
function imageArguments({ guestDirectory, nodeFile, socketDirectory, disk }: Isolation): string[] {
  const show = (from: string, to: string): string[] => ['--ro-bind', from, `${IMAGE}${to}`];
  return [
    ...[...FOLDERS, ...MOUNT_POINTS].flatMap((path) => ['--dir', `${IMAGE}${path}`]),
    ...show('/usr', '/usr'),
    ...['bin', 'sbin', 'lib', 'lib64'].flatMap((name) => ['--symlink', `usr/${name}`, `${IMAGE}/${name}`]),
    ...OF_ETC.flatMap((name) => ['--ro-bind-try', `/etc/${name}`, `${IMAGE}/etc/${name}`]),
    ...Object.keys(IMAGE_ETC).flatMap((name) => show(join(guestDirectory, 'etc', name), `/etc/${name}`)),
    ...show(nodeFile, '/opt/node/bin/node'),
    ...show(guestDirectory, '/opt/guest'),
    ...show(socketDirectory, SOCKETS),
    ...(disk.kind === 'image' ? ['--bind', disk.mountPoint, `${IMAGE}${HOME}`] : []),
  ];
}

function outerArguments(isolation: Isolation): string[] {
  const namespaces = ['pid', 'net', 'ipc', 'uts', 'cgroup'].map((name) => `--unshare-${name}`);
  return [
    ...namespaces,
    ...['--hostname', 'sandbox', '--cap-add', 'ALL', '--die-with-parent', '--new-session', '--clearenv'],
    ...['--ro-bind', isolation.runsc?.file ?? '', '/runsc', '--proc', '/proc', '--dev', '/dev'],
    ...['--size', String(STATE_BYTES), '--tmpfs', '/tmp', '--size', String(STATE_BYTES), '--tmpfs', '/state'],
    ...['--ro-bind', isolation.rootDirectory, '/bundle'],
    ...imageArguments(isolation),
    ...['--remount-ro', '/dev', '--remount-ro', '/', '--chdir', '/'],
  ];
}

/** The command line that the launcher becomes, when it has joined its cgroups; writes the bundle it starts from. */
export function gvisorCommand(isolation: Isolation, argv: string[]): string[] {
  if (!isolation.runsc) throw new TypeError('level gvisor needs a runsc');
  writeFileSync(join(isolation.rootDirectory, 'config.json'), JSON.stringify(bundleOf(isolation, argv)), {
    mode: 0o644,
  });
  const run = ['/runsc', '--root=/state', ...runscArguments(isolation.runsc), 'run', '--bundle=/bundle', 'sandbox'];
  return [
    ...['unshare', '--user', '--keep-caps', '--', 'sh', '-c', AWAIT_MAP, 'await-map'],
    ...['setpriv', '--reuid=0', '--regid=0', '--clear-groups', '--no-new-privs'],
    ...['bwrap', ...outerArguments(isolation), '--', ...run],
  ];
}

/**
 * Two host uids make one sandbox: its processes are root of their user namespace under the first, its files belong to
 * the tenant under the second. Only the warden may write such a map; the waiting shell goes on when it stands.
 */
export function mapIds(pid: number, talk: Duplex, hostUid: number): void {
  talk.on('error', () => {});
  talk.once('data', () => {
    const map = `0 ${hostUid} 1\n${GUEST_UID} ${fileUid('gvisor', hostUid)} 1\n`;
    try {
      for (const kind of ['uid', 'gid']) writeFileSync(`/proc/${pid}/${kind}_map`, map);
      talk.end('\n');
    } catch {
      talk.destroy(); // the process is gone; its end is told by its exit
    }
  });
}
