/**
 * The embedded PostgreSQL 18: made at the first start, attached to when it already runs.
 * Promise: it accepts connections on a private unix socket, and no second server ever runs on the same data.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { findBinaries, giveFolder, type Launcher } from './binaries.ts';
import { BIGINT_TYPES, type Database, LOGIN_OF_ROLE, type Role } from './database.ts';

const START_MS_MAX = 20_000;
const STOP_MS_MAX = 10_000;
const TRY_MS = 25;
const TRIES_PER_LAUNCH = 40;
const LOG_TAIL_LINES = 12;
const PORT = 5432; // only names the socket file; there is no TCP listener
const SUPERUSER = 'postgres';

export interface EmbeddedOptions {
  /** Holds `data/` and `postgres.log`; made with mode 0700. */
  folder: string;
  /** Server settings on top of ours, for tests and benchmarks. */
  settings?: Record<string, string>;
  /** How long to wait for it to accept connections. */
  startMsMax?: number;
}

/** Small and durable: 13 MB idle, fsync on. */
const SETTINGS: Record<string, string> = {
  listen_addresses: '',
  unix_socket_permissions: '0700',
  shared_buffers: '64MB',
  max_wal_size: '256MB',
  min_wal_size: '32MB',
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_logical_replication_workers: '0',
  io_method: 'sync',
  jit: 'off',
};

/** @errors throws when the server cannot be made or does not start; the message holds the end of its log. */
export async function openEmbedded({
  folder,
  settings = {},
  startMsMax = START_MS_MAX,
}: EmbeddedOptions): Promise<Database> {
  const root = resolve(folder);
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const launcher = findBinaries();
  giveFolder(launcher, root);
  const dataFolder = join(root, 'data');
  const socketFolder = makeSocketFolder(launcher, dataFolder);
  if (!existsSync(join(dataFolder, 'PG_VERSION'))) initialise(launcher, root, dataFolder);
  await startOrAttach(
    launcher,
    dataFolder,
    { ...SETTINGS, unix_socket_directories: socketFolder, ...settings },
    startMsMax,
  );
  return {
    kind: 'embedded',
    as: (role) => ({ host: socketFolder, port: PORT, user: userOf(role), database: SUPERUSER, types: BIGINT_TYPES }),
    describe: () => `embedded PostgreSQL in ${dataFolder}`,
    postmasterPid: () => runningPid(dataFolder),
    passwordOf: () => undefined,
    stop: async () => {
      await stopServer(dataFolder);
      rmSync(socketFolder, { recursive: true, force: true });
    },
  };
}

const userOf = (role: Role): string => (role === 'owner' ? SUPERUSER : LOGIN_OF_ROLE[role]);

/** Short, since a socket path may have 107 bytes at most; private, since connections need no password. */
function makeSocketFolder(launcher: Launcher, dataFolder: string): string {
  const name = createHash('sha256').update(dataFolder).digest('hex').slice(0, 12);
  const folder = join(tmpdir(), `tally-${name}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700); // fails when the folder is somebody else's
  giveFolder(launcher, folder);
  return folder;
}

/** Made aside and renamed, so that two programs at once end with one whole data folder. */
function initialise(launcher: Launcher, root: string, dataFolder: string): void {
  const draft = join(root, `data.${process.pid}`);
  rmSync(draft, { recursive: true, force: true });
  const args = ['-D', draft, '-U', SUPERUSER, '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'];
  const [program, ...words] = [...launcher.prefix, join(launcher.folder, 'initdb'), ...args];
  const done = spawnSync(program!, words, { encoding: 'utf8', ...launcher.identity });
  if (done.status !== 0) throw new Error(`initdb failed: ${done.stderr || done.error}`);
  try {
    renameSync(draft, dataFolder);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    if (!existsSync(join(dataFolder, 'PG_VERSION'))) throw error;
  }
}

async function startOrAttach(
  launcher: Launcher,
  dataFolder: string,
  settings: Record<string, string>,
  startMsMax: number,
): Promise<void> {
  const deadlineMs = Date.now() + startMsMax;
  const config = { host: settings['unix_socket_directories']!, port: PORT, user: SUPERUSER, database: SUPERUSER };
  while (true) {
    if (!runningPid(dataFolder)) launch(launcher, dataFolder, settings);
    if (await acceptsSoon(config)) return;
    if (Date.now() > deadlineMs) {
      throw new Error(`PostgreSQL did not start within ${startMsMax} ms. The end of its log:\n${logTail(dataFolder)}`);
    }
  }
}

const logOf = (dataFolder: string): string => join(dirname(dataFolder), 'postgres.log');

function logTail(dataFolder: string): string {
  const lines = readFileSync(logOf(dataFolder), 'utf8').trimEnd().split('\n');
  return lines.slice(-LOG_TAIL_LINES).join('\n');
}

function launch(launcher: Launcher, dataFolder: string, settings: Record<string, string>): void {
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const words = [...launcher.prefix, join(launcher.folder, 'postgres'), '-D', dataFolder, '-p', String(PORT), ...flags];
  const log = openSync(logOf(dataFolder), 'a', 0o600);
  const child = spawn(words[0]!, words.slice(1), { stdio: ['ignore', log, log], detached: true, ...launcher.identity });
  child.on('error', () => undefined); // seen as a server that does not accept
  child.unref();
  closeSync(log);
}

/** The postmaster named by postmaster.pid if it lives; a zombie counts as dead. */
function runningPid(dataFolder: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(dataFolder, 'postmaster.pid'), 'utf8').split('\n')[0]);
    return isPostmaster(pid) ? pid : undefined;
  } catch {
    return undefined;
  }
}

function isPostmaster(pid: number): boolean {
  if (process.platform !== 'linux') return process.kill(pid, 0);
  const [, name, state] = readFileSync(`/proc/${pid}/stat`, 'utf8').match(/\((.*)\) (.)/) ?? [];
  return name === 'postgres' && state !== 'Z';
}

async function acceptsSoon(config: pg.ClientConfig): Promise<boolean> {
  for (let tries = 0; tries < TRIES_PER_LAUNCH; tries++) {
    if (await accepts(config)) return true;
    await sleep(TRY_MS);
  }
  return false;
}

async function accepts(config: pg.ClientConfig): Promise<boolean> {
  const client = new pg.Client(config);
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.end();
    return true;
  } catch {
    return false;
  }
}

async function stopServer(dataFolder: string): Promise<void> {
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
    const pid = runningPid(dataFolder);
    if (!pid) return;
    process.kill(pid, signal); // SIGINT: fast and clean; SIGQUIT: at once, recovery at the next start
    const deadlineMs = Date.now() + STOP_MS_MAX;
    while (runningPid(dataFolder) && Date.now() < deadlineMs) await sleep(TRY_MS);
  }
}
