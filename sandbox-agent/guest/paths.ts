/**
 * Looks at single paths, makes directories and moves what stands there, as the tenant's own user.
 * Promise: nothing is replaced that was not said to be; no open waits for a pipe.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  constants as fsConstants,
  fstatSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  renameSync,
  unlinkSync,
} from 'node:fs';
import { Readable } from 'node:stream';
import type { Work } from './exec.ts';
import { CHUNK_BYTES, type Done, faultBody, NOTHING, spaceAt, streamOut, typeOf } from './files.ts';
import { Kind } from './frame.ts';
import type { Send } from './outflow.ts';

/** Reading more only to tell its digest is refused. */
export const DIGEST_BYTES_MAX = 4 * 1024 ** 3;
/** Only a regular file is read: not a link swapped in, and a pipe must not be waited for. */
const READ_NO_LINK = fsConstants.O_RDONLY | fsConstants.O_NOFOLLOW | fsConstants.O_NONBLOCK;

export const codeFault = (code: string, message: string): Error => Object.assign(new Error(message), { code });

/** Slashes at the end would follow a link. */
export const bareOf = (path: string): string => path.replace(/(?<=.)\/+$/, '');

function statusBody(path: string, status: NonNullable<ReturnType<typeof lstatSync>>): object {
  const target = status.isSymbolicLink() ? { target: readlinkSync(path) } : {};
  const modifiedUs = Math.round(Number(status.mtimeMs) * 1_000);
  const { size, mode } = status;
  return {
    type: typeOf(status),
    bytes: Number(size),
    mode: Number(mode) & 0o7777,
    modified_us: modifiedUs,
    ...target,
  };
}

const sayText = (body: object, send: Send, done: Done): Work =>
  streamOut(Readable.from([Buffer.from(JSON.stringify(body))], { objectMode: true }), send, done);

interface StatRequest {
  path: string;
  digest: boolean;
  /** Tell of the room below the path instead, which need not exist. */
  space?: boolean;
}

/** One JSON text; with a digest it is that of the very file whose status is told. */
export function startStat({ path, digest, space }: StatRequest, send: Send, done: Done): Work {
  if (space) return sayText({ ...spaceAt(`${path}/.`), is_there: isThere(path) }, send, done);
  const status = lstatSync(path);
  if (!digest || !status.isFile()) return sayText(statusBody(path, status), send, done);
  const fd = openSync(path, READ_NO_LINK);
  const opened = fstatSync(fd);
  if (!opened.isFile() || opened.size > DIGEST_BYTES_MAX) {
    closeSync(fd);
    throw codeFault('EFBIG', `a digest is told of files of at most ${DIGEST_BYTES_MAX} bytes`);
  }
  const hash = createHash('sha256');
  const stream = createReadStream('', { fd, highWaterMark: CHUNK_BYTES });
  let told: Work = NOTHING;
  stream.on('data', (chunk) => void hash.update(chunk));
  stream.on('error', (fault) => done(Kind.fault, faultBody(fault)));
  stream.on('end', () => {
    told = sayText({ ...statusBody(path, opened), sha256: hash.digest('hex') }, send, done);
  });
  const cancel = (): void => {
    stream.destroy();
    told.cancel();
  };
  return { ...NOTHING, credit: (bytes) => told.credit(bytes), cancel };
}

export function startMkdir({ path, parents }: { path: string; parents: boolean }, _send: Send, done: Done): Work {
  const made = mkdirSync(path, { recursive: parents, mode: 0o755 });
  done(Kind.end, { entries: parents && made === undefined ? 0 : 1 });
  return NOTHING;
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** A link to the file under its new name is refused when that is taken, where a rename would replace it. */
function moveFileAside(from: string, to: string): void {
  linkSync(from, to);
  try {
    unlinkSync(from);
  } catch (fault) {
    unlinkSync(to);
    throw fault;
  }
}

/** Between the look and the rename of a directory at most an empty directory can come and be replaced: others refuse. */
function moveDirectoryAside(from: string, to: string): void {
  if (isThere(to)) throw codeFault('EEXIST', 'something stands there already');
  renameSync(from, to);
}

function intoItself(fault: unknown): unknown {
  const { code } = fault as NodeJS.ErrnoException;
  return code === 'EINVAL' ? codeFault('into_itself', 'a directory cannot be moved below itself') : fault;
}

export function startMove(
  { path, to, overwrite }: { path: string; to: string; overwrite: boolean },
  _send: Send,
  done: Done,
): Work {
  const [from, target] = [bareOf(path), bareOf(to)];
  const isDirectory = lstatSync(from).isDirectory();
  try {
    if (overwrite) renameSync(from, target);
    else if (isDirectory) moveDirectoryAside(from, target);
    else moveFileAside(from, target);
  } catch (fault) {
    throw intoItself(fault);
  }
  done(Kind.end, { entries: 1 });
  return NOTHING;
}
