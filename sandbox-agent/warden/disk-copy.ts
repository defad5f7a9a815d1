/**
 * Disk images as files: stilled, copied, checked, made larger, taken from a sandbox that is over.
 * Promise: a copy holds what was written before its moment and nothing that was deleted; no content of an image is believed.
 */
import { execFile } from 'node:child_process';
import { truncateSync } from 'node:fs';
import { rename, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** e2fsck: bits from here on mean that the file system is not sound. */
const CHECK_FAILED = 4;
const TOOL_MS_MAX = 120_000;
const RELEASE_MS_MAX = 5_000;
const RELEASE_LOOK_MS = 10;
const STAT_BLOCK_BYTES = 512;

interface ToolFault extends Error {
  code?: number | string;
  stderr?: string;
}

/** Runs in the mount namespace of a sandbox's outermost process, the only place where its disk is mounted. */
async function atMount(pid: number, command: string[]): Promise<void> {
  await run('nsenter', [`--mount=/proc/${pid}/ns/mnt`, '--', ...command], { timeout: TOOL_MS_MAX });
}

/** Gives back the room of deleted files, so that no copy holds them, and writes what waits to be written. */
export async function trimDisk(pid: number, mountPoint: string): Promise<void> {
  await atMount(pid, ['fstrim', mountPoint]).catch(() => undefined); // a host that cannot trim makes larger copies
  await syncDisk(pid, mountPoint);
}

/** Everything that was written is in the image file when this resolves. */
export const syncDisk = (pid: number, mountPoint: string): Promise<void> =>
  atMount(pid, ['sync', '--file-system', mountPoint]);

/** Shares blocks where the host's file system can, else copies what is not empty. @errors rejects when it takes longer than `msMax` */
export async function copyDisk(from: string, to: string, msMax: number): Promise<void> {
  await run('cp', ['--sparse=always', '--reflink=auto', from, to], { timeout: msMax });
}

/**
 * Makes a copied or unmounted file system sound: room of files that were open and deleted comes back, and is punched out.
 * @errors rejects when it cannot be repaired without a decision
 */
export async function checkDisk(file: string): Promise<void> {
  if ((await checked(file)) > 0) await checked(file); // only a pass that repairs nothing gives room back
  await run('debugfs', ['-w', '-R', 'rmdir lost+found', file], { timeout: TOOL_MS_MAX });
}

async function checked(file: string): Promise<number> {
  try {
    await run('e2fsck', ['-f', '-p', '-E', 'discard', file], { timeout: TOOL_MS_MAX });
    return 0;
  } catch (fault) {
    const { code } = fault as ToolFault;
    if (typeof code === 'number' && code < CHECK_FAILED) return code;
    throw new Error('the file system of the copy is not sound', { cause: fault });
  }
}

/** Does nothing when it is as large already. @errors rejects when the file system cannot grow */
export async function growDisk(file: string, bytesMax: number): Promise<void> {
  if ((await stat(file)).size >= bytesMax) return;
  truncateSync(file, bytesMax);
  await run('resize2fs', [file], { timeout: TOOL_MS_MAX });
}

/** Bytes that the file takes on the host's disk. */
export const storedBytes = async (file: string): Promise<number> => (await stat(file)).blocks * STAT_BLOCK_BYTES;

/**
 * Moves the image of a sandbox whose processes are gone, once the host has let go of its mount.
 * @errors rejects when it does not within five seconds
 */
export async function takeDisk(from: string, to: string): Promise<void> {
  const giveUpAtMs = performance.now() + RELEASE_MS_MAX;
  while ((await run('losetup', ['--associated', from])).stdout.trim() !== '') {
    if (performance.now() > giveUpAtMs) throw new Error('the disk is still in use');
    await sleep(RELEASE_LOOK_MS);
  }
  await rename(from, to);
}
