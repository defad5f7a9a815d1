/**
 * The writable layer of a sandbox, with a quota that cannot be passed.
 * Promise: small layers live in memory under the memory limit; larger ones in an image file that dies with the sandbox.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** tmpfs pages count against the sandbox's own memory limit, so only small layers may live there. */
export const TMPFS_BYTES_MAX = 256 * 1024 * 1024;

export type Disk =
  | { kind: 'tmpfs'; bytesMax: number }
  | { kind: 'image'; bytesMax: number; file: string; mountPoint: string };

const run = promisify(execFile);

export function planDisk(directory: string, bytesMax: number): Disk {
  if (bytesMax < TMPFS_BYTES_MAX) return { kind: 'tmpfs', bytesMax };
  return { kind: 'image', bytesMax, file: join(directory, 'disk.img'), mountPoint: join(directory, 'disk') };
}

/** Formats the image file; it is mounted later, inside the sandbox's private mount namespace. */
export async function prepareDisk(disk: Disk, ownerUid: number): Promise<void> {
  if (disk.kind === 'tmpfs') return;
  mkdirSync(disk.mountPoint, { mode: 0o711 });
  writeFileSync(disk.file, '', { mode: 0o600 });
  truncateSync(disk.file, disk.bytesMax);
  const extended = `root_owner=${ownerUid}:${ownerUid},lazy_itable_init=1,nodiscard`;
  await run('mkfs.ext4', ['-q', '-F', '-m', '0', '-O', '^has_journal', '-E', extended, disk.file]);
}
