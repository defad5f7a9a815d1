/**
 * Probes of the machine that runs sandboxes: each tries what the warden will need.
 * Promise: what is made for a try is removed again.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rmdir, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import type { Io } from '../io.ts';
import { dataFolder } from '../session.ts';
import { groundProbes } from './ground.ts';
import { isolationProbes } from './isolation.ts';
import {
  bad,
  complaintOf,
  ELSEWHERE_ADVICE,
  good,
  type Outcome,
  open,
  type Probe,
  probe,
  SYSTEM_PATH,
} from './probe.ts';

const CGROUP_ROOT = '/sys/fs/cgroup';
const MEMORY_BYTES = 64 * 1024 * 1024;
const PIDS = 64;
const SOCKET_MS_MAX = 2_000;
const PID_FILE_PORT_LINE = 3;
const PID_FILE_SOCKET_LINE = 4;
const SETPRIV_TRY = ['--reuid', '65534', '--regid', '65534', '--clear-groups', 'true'];
const BUBBLEWRAP_TRY = [
  '--unshare-all',
  '--die-with-parent',
  '--cap-drop',
  'ALL',
  '--ro-bind',
  '/',
  '/',
  '--proc',
  '/proc',
  '--dev',
  '/dev',
  'true',
];

/** Bubblewrap, namespaces, cgroups, disks, the data folder, the port and the embedded database; on Linux only. */
export function hostProbes(io: Io, path = SYSTEM_PATH): Probe[] {
  if (process.platform !== 'linux')
    return [
      probe('host', '', async () => open(`${process.platform} runs no sandboxes itself`, 'Use a platform on Linux.')),
    ];
  return [
    probe('bubblewrap', 'Run: apt-get install bubblewrap', async () => {
      const complaint = await complaintOf('bwrap', BUBBLEWRAP_TRY, path);
      return complaint === undefined
        ? good('starts a process in its own namespaces')
        : bad(complaint, 'Run: apt-get install bubblewrap');
    }),
    probe('user namespaces', 'Ask the host to allow them: sysctl user.max_user_namespaces', async () => {
      const complaint = await complaintOf('unshare', ['--user', '--map-root-user', 'true'], path);
      return complaint === undefined
        ? good('can be made')
        : bad(complaint, 'Allow them: sysctl -w user.max_user_namespaces=15000; util-linux brings unshare.');
    }),
    probe('user ids', 'Run: apt-get install util-linux', async () => {
      if (process.getuid?.() !== 0) return open('not tried: needs root');
      const complaint = await complaintOf('setpriv', SETPRIV_TRY, path);
      return complaint === undefined ? good('can be given up') : bad(complaint, 'Run: apt-get install util-linux');
    }),
    ...['freezer', 'cpu', 'memory', 'pids'].map((controller) =>
      probe(`cgroup ${controller}`, CGROUP_ADVICE, () => tryController(controller as Controller)),
    ),
    ...isolationProbes(io),
    ...groundProbes(io, path),
    probe('database', `See ${join(dataFolder(io), 'logs', 'database.log')}.`, () => tryDatabase(io)),
  ];
}

type Controller = 'freezer' | 'cpu' | 'memory' | 'pids';
const CGROUP_ADVICE = 'Give the machine writable cgroups (v1, v2 or both); without this limit sandboxes are refused.';

/** What proves each controller, in version 1 and 2: a file and what is written to it. */
const TRIES: Record<Controller, { v1: [string, string]; v2: [string, string] }> = {
  freezer: { v1: ['freezer.state', 'FROZEN'], v2: ['cgroup.freeze', '1'] },
  cpu: { v1: ['cpu.cfs_quota_us', '50000'], v2: ['cpu.max', '50000 100000'] },
  memory: { v1: ['memory.limit_in_bytes', String(MEMORY_BYTES)], v2: ['memory.max', String(MEMORY_BYTES)] },
  pids: { v1: ['pids.max', String(PIDS)], v2: ['pids.max', String(PIDS)] },
};

/** Makes a group, sets the limit, removes the group. */
async function tryController(controller: Controller): Promise<Outcome> {
  if (process.getuid?.() !== 0) return open('not tried: needs root');
  const place = [
    { folder: join(CGROUP_ROOT, 'unified'), version: 'v2' as const },
    { folder: CGROUP_ROOT, version: 'v2' as const },
    { folder: join(CGROUP_ROOT, controller), version: 'v1' as const },
  ].find(({ folder, version }) => (version === 'v1' ? existsSync(folder) : hasUnified(folder, controller)));
  if (!place) return bad('no such controller', CGROUP_ADVICE);
  const group = await mkdtemp(join(place.folder, 'tally-doctor-'));
  try {
    const [file, value] = TRIES[controller][place.version];
    await writeFile(join(group, file), value);
    const told = (await readFile(join(group, file), 'utf8')).trim();
    return told === '' ? bad(`${file} stays empty`, CGROUP_ADVICE) : good(`${place.version}: a group takes ${file}`);
  } finally {
    await rmdir(group);
  }
}

/** Freezing is part of every version 2 group; the others must be handed down. */
function hasUnified(folder: string, controller: Controller): boolean {
  if (!existsSync(join(folder, 'cgroup.controllers'))) return false;
  return (
    controller === 'freezer' ||
    readFileSync(join(folder, 'cgroup.subtree_control'), 'utf8').split(/\s/).includes(controller)
  );
}

/** Connects to the socket that the running embedded server names. */
async function tryDatabase(io: Io): Promise<Outcome> {
  if (io.env['DATABASE_URL'])
    return open('DATABASE_URL names a server; the platform checks it', 'See "platform ready" above.');
  const folder = dataFolder(io);
  const pidFile = join(folder, 'data', 'postmaster.pid');
  if (!existsSync(pidFile)) return open(`no embedded server runs with its data in ${folder}`, ELSEWHERE_ADVICE);
  const lines = (await readFile(pidFile, 'utf8')).split('\n');
  const socket = join(lines[PID_FILE_SOCKET_LINE] ?? '', `.s.PGSQL.${lines[PID_FILE_PORT_LINE]}`);
  return (await canConnect(socket))
    ? good(`accepts connections on ${socket}`)
    : bad(`${socket} refuses connections`, `Restart the platform; see ${join(folder, 'logs', 'database.log')}.`);
}

function canConnect(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ path, timeout: SOCKET_MS_MAX });
    const settle = (isOpen: boolean): void => {
      socket.destroy();
      resolve(isOpen);
    };
    socket
      .on('connect', () => settle(true))
      .on('error', () => settle(false))
      .on('timeout', () => settle(false));
  });
}
