/**
 * How large a folder is, so that the machine's disk fits it.
 * Promise: counts files only, follows no link.
 */
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** A file takes at least a block on the machine's disk. */
const BLOCK_BYTES = 4_096;

/** @errors throws when the folder cannot be read. */
export async function measureFolder(folder: string): Promise<{ files: number; bytes: number }> {
  let [files, bytes] = [0, 0];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      const below = await measureFolder(path);
      files += below.files;
      bytes += below.bytes + BLOCK_BYTES;
    } else if (entry.isFile()) {
      files += 1;
      bytes += Math.ceil((await lstat(path)).size / BLOCK_BYTES) * BLOCK_BYTES;
    }
  }
  return { files, bytes };
}
