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
/** What all spools of this program may hold together, so that uploads cannot fill the disk that the database is on. */
const SPOOLED_BYTES_MAX = 4 * 1024 ** 3;
const RETRY_AFTER_MS = 5_000;

let spooledBytes = 0;

export interface Spool extends AsyncDisposable {
  bytes: number;
  sha256: string;
  /** Reads the body again, as often as needed. */
  stream(): AsyncIterable<Uint8Array>;
}

/** `look` sees every chunk. @errors throws BODY_TOO_LARGE naming the cap as soon as it is passed, QUEUE_FULL when other bodies take all room. */
export async function spoolBody(
  body: AsyncIterable<Uint8Array>,
  bytesMax = UPLOAD_BYTES_MAX,
  look: (chunk: Uint8Array) => void = () => undefined,
): Promise<Spool> {
  const folder = await mkdtemp(join(tmpdir(), 'tally-body-'));
  let takenBytes = 0;
  const take = (bytes: number): void => {
    if (takenBytes + bytes > bytesMax) throw refuse('BODY_TOO_LARGE', { cap_bytes: bytesMax });
    if (spooledBytes + bytes > SPOOLED_BYTES_MAX) throw refuse('QUEUE_FULL', { retry_after_ms: RETRY_AFTER_MS });
    takenBytes += bytes;
    spooledBytes += bytes;
  };
  const remove = async (): Promise<void> => {
    await rm(folder, { recursive: true, force: true });
    spooledBytes -= takenBytes;
    takenBytes = 0;
  };
  const file = join(folder, 'body');
  try {
    const { bytes, sha256 } = await writeHashed(body, file, (chunk) => {
      take(chunk.length);
      look(chunk);
    });
    return { bytes, sha256, stream: () => createReadStream(file), [Symbol.asyncDispose]: remove };
  } catch (fault) {
    await remove();
    throw fault;
  }
}

async function writeHashed(
  body: AsyncIterable<Uint8Array>,
  path: string,
  take: (chunk: Uint8Array) => void,
): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  const file = await open(path, 'wx', 0o600);
  let bytes = 0;
  try {
    for await (const chunk of body) {
      take(chunk);
      bytes += chunk.length;
      hash.update(chunk);
      await file.appendFile(chunk); // whole, unlike write
    }
  } finally {
    await file.close();
  }
  return { bytes, sha256: hash.digest('hex') };
}
