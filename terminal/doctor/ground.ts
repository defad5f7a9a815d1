/**
 * Probes of what the platform stands on: the folder of its data, the disks of sandboxes, the port it listens on.
 * Promise: each is tried by doing it, and what is made for a try is removed again.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, open as openFile, rm, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Io } from '../io.ts';
import { dataFolder } from '../session.ts';
import { bad, complaintOf, good, type Outcome, open, type Probe, probe } from './probe.ts';

const MIB = 1_048_576;
/** A new database, its log and a first sandbox fit into this. */
const FREE_MIB_MIN = 1_024;
/** What is written and flushed for the try. */
const TRY_MIB = 8;
const DISK_MIB = 16;
const API_PORT_FIRST = 8080;
const LOOPBACK = '127.0.0.1';

export function groundProbes(io: Io, path: string): Probe[] {
  return [
    probe('data folder', FOLDER_ADVICE, () => tryFolder(dataFolder(io))),
    probe('disks', DISK_ADVICE, () => tryDisk(path)),
    probe('port', '', () => tryPort(dataFolder(io))),
  ];
}

const FOLDER_ADVICE = 'Give the platform a folder that it may write: npm start -- --data DIR, or TALLY_DATA.';
const FULL_ADVICE = `Make room (${FREE_MIB_MIN} MiB), or name a folder on another disk: npm start -- --data DIR.`;

/** Writes and flushes a file there, or in the folder in which it would be made. */
async function tryFolder(folder: string): Promise<Outcome> {
  const place = nearest(folder);
  const trial = await mkdtemp(join(place, '.tally-doctor-')).catch((fault: NodeJS.ErrnoException) => fault);
  if (trial instanceof Error) {
    const isFull = trial.code === 'ENOSPC';
    return bad(`${place} cannot be written: ${trial.code}`, isFull ? FULL_ADVICE : FOLDER_ADVICE);
  }
  try {
    await mkdir(join(trial, 'below'));
    await writeFlushed(join(trial, 'file'), TRY_MIB * MIB);
    const { bavail, bsize } = await statfs(trial);
    const freeMib = Math.floor((bavail * bsize) / MIB);
    const told = `${folder}${place === folder ? '' : ` (not there yet)`}: ${freeMib} MiB free`;
    return freeMib < FREE_MIB_MIN ? bad(`${told}, ${FREE_MIB_MIN} are needed`, FULL_ADVICE) : good(told);
  } catch (fault) {
    const { code } = fault as NodeJS.ErrnoException;
    return bad(`${place} takes no ${TRY_MIB} MiB: ${code}`, code === 'ENOSPC' ? FULL_ADVICE : FOLDER_ADVICE);
  } finally {
    await rm(trial, { recursive: true, force: true });
  }
}

/** The folder, or the first above it that is there. */
function nearest(folder: string): string {
  return existsSync(folder) || dirname(folder) === folder ? folder : nearest(dirname(folder));
}

async function writeFlushed(path: string, bytes: number): Promise<void> {
  const file = await openFile(path, 'wx');
  try {
    await file.writeFile(Buffer.alloc(bytes, 1));
    await file.sync();
  } finally {
    await file.close();
  }
}

const DISK_ADVICE = 'Run: apt-get install e2fsprogs mount; in a container, allow loop devices.';

/** Formats an image and mounts it, as the warden does for a sandbox of 256 MiB and more. */
async function tryDisk(path: string): Promise<Outcome> {
  if (process.platform !== 'linux') return open('not tried: Linux only');
  if (process.getuid?.() !== 0) return open('not tried: needs root');
  const folder = await mkdtemp(join(tmpdir(), 'tally-doctor-'));
  const [image, point] = [join(folder, 'disk.img'), join(folder, 'disk')];
  try {
    await mkdir(point);
    const file = await openFile(image, 'wx');
    await file.truncate(DISK_MIB * MIB);
    await file.close();
    const complaint =
      (await complaintOf('mkfs.ext4', ['-q', '-F', image], path)) ??
      (await complaintOf('mount', ['-o', 'loop', image, point], path));
    if (complaint !== undefined) return bad(complaint, DISK_ADVICE);
    await complaintOf('umount', [point], path);
    return good('formats and mounts an image');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Where the next start would listen; `run/api.json` stands while the platform is up, which then has the port. */
async function tryPort(folder: string): Promise<Outcome> {
  if (existsSync(join(folder, 'run', 'api.json'))) return good(`the platform with its data in ${folder} has it`);
  const port = rememberedPort(folder) ?? API_PORT_FIRST;
  if (await isFree(port)) return good(`${port} is free`);
  return open(`${port} is taken by another program`, 'npm start takes another one and says which; or: --port PORT');
}

function rememberedPort(folder: string): number | undefined {
  try {
    return (JSON.parse(readFileSync(join(folder, 'ports.json'), 'utf8')) as { api?: number }).api;
  } catch {
    return undefined;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: LOOPBACK, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
