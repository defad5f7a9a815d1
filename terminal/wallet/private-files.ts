/**
 * Files that only their owner may read.
 * Promise: written whole or not at all with mode 0600 in a 0700 folder; a looser or foreign file is refused, never repaired in silence.
 */
import { randomBytes } from 'node:crypto';
import { chmod, link, mkdir, open, rename, rm, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
const OTHERS = 0o077;
/** What lets others put another file in a file's place; where a sticky bit is, they cannot. */
const OTHERS_WRITE = 0o022;
const STICKY = 0o1000;
const FILE_BYTES_MAX = 1024 * 1024;

/** A file or folder that others could read. */
export class LooseFileError extends Error {
  readonly code = 'file_not_private';
  readonly suggestion: string;

  constructor(path: string, what: string, suggestion: string) {
    super(`${path} ${what}.`);
    this.name = 'LooseFileError';
    this.suggestion = suggestion;
  }
}

/** What stops a path from being private; undefined when nothing does. POSIX only: elsewhere nothing is checked. */
export async function loosenessOf(path: string): Promise<{ what: string; suggestion: string } | undefined> {
  if (process.getuid === undefined) return undefined;
  const status = await stat(path);
  const wanted = status.isDirectory() ? FOLDER_MODE : FILE_MODE;
  if (status.uid !== process.getuid())
    return { what: 'belongs to another user', suggestion: 'Use a folder of your own.' };
  if ((status.mode & OTHERS) === 0) return undefined;
  const mode = (status.mode & 0o777).toString(8).padStart(4, '0');
  return { what: `can be read by others (mode ${mode})`, suggestion: `Run: chmod ${wanted.toString(8)} ${path}` };
}

async function refuseLoose(path: string): Promise<void> {
  const looseness = await loosenessOf(path);
  if (looseness) throw new LooseFileError(path, looseness.what, looseness.suggestion);
}

/**
 * The file's text; undefined when there is none.
 * @errors LooseFileError; throws when it is larger than 1 MiB
 */
export async function readPrivateFile(path: string): Promise<string | undefined> {
  const file = await open(path, 'r').catch((fault: NodeJS.ErrnoException) => {
    if (fault.code === 'ENOENT') return undefined;
    throw fault;
  });
  if (!file) return undefined;
  try {
    await refuseLoose(path);
    const { size } = await file.stat();
    if (size > FILE_BYTES_MAX) throw new RangeError(`${path} has ${size} bytes, the cap is ${FILE_BYTES_MAX}`);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

/** A folder that a person named for a file need not be ours alone: the file is. @errors LooseFileError */
async function refuseReplaceable(folder: string): Promise<void> {
  if (process.getuid === undefined) return;
  const { mode } = await stat(folder);
  if ((mode & OTHERS_WRITE) === 0 || (mode & STICKY) !== 0) return;
  throw new LooseFileError(folder, 'can be written by others', `Run: chmod go-w ${folder}`);
}

/** Mode 0700 when it is new; one that is there stays as it is. */
export async function makePrivateFolder(folder: string): Promise<void> {
  if ((await mkdir(folder, { recursive: true, mode: FOLDER_MODE })) !== undefined) await chmod(folder, FOLDER_MODE);
}

export interface WriteOptions {
  /** Refuses to replace a file, also when two programs try at once. */
  isNew?: boolean;
  /** The folder may hold what others can read: only the file is private. Absent: the folder is private, too. */
  isFolderShared?: boolean;
}

/**
 * Writes beside and moves into place.
 * @errors LooseFileError for a folder that others can read, or one that is shared and others can write; EEXIST when it must be new
 */
export async function writePrivateFile(path: string, text: string, options: WriteOptions = {}): Promise<void> {
  const { isNew = false, isFolderShared = false } = options;
  const folder = dirname(path);
  await makePrivateFolder(folder);
  await (isFolderShared ? refuseReplaceable(folder) : refuseLoose(folder));
  const beside = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  const file = await open(beside, 'wx', FILE_MODE);
  try {
    await file.writeFile(text);
    await file.sync();
    await file.close();
    if (isNew) await link(beside, path).then(() => unlink(beside));
    else await rename(beside, path);
  } catch (fault) {
    await file.close().catch(() => undefined);
    await rm(beside, { force: true });
    throw fault;
  }
}
