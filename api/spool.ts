/**
 * Takes a request body to a private file while hashing it, so that it can be named before it is used.
 * Promise: never more than the limit on disk, and the file is gone when the spool is disposed, whatever happened.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { refuse } from '@tallystick/surface';

export const UPLOAD_BYTES_MAX = 2 * 1024 ** 3;

export interface Spool extends AsyncDisposable {
  bytes: number;
  sha256: string;
  /** Reads the body again, as often as needed. */
  stream(): AsyncIterable<Uint8Array>;
}

/** @errors throws BODY_TOO_LARGE naming the cap as soon as it is passed. */
export async function spoolBody(body: AsyncIterable<Uint8Array>, bytesMax = UPLOAD_BYTES_MAX): Promise<Spool> {
  const folder = await mkdtemp(join(tmpdir(), 'tally-body-'));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  const file = join(folder, 'body');
  try {
    const { bytes, sha256 } = await writeHashed(body, file, bytesMax);
    return { bytes, sha256, stream: () => createReadStream(file), [Symbol.asyncDispose]: remove };
  } catch (fault) {
    await remove();
    throw fault;
  }
}

async function writeHashed(
  body: AsyncIterable<Uint8Array>,
  path: string,
  bytesMax: number,
): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  const file = await open(path, 'wx', 0o600);
  let bytes = 0;
  try {
    for await (const chunk of body) {
      bytes += chunk.length;
      if (bytes > bytesMax) throw refuse('BODY_TOO_LARGE', { cap_bytes: bytesMax });
      hash.update(chunk);
      await file.write(chunk);
    }
  } finally {
    await file.close();
  }
  return { bytes, sha256: hash.digest('hex') };
}
