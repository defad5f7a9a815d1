/**
 * Moves files in and out and lists folders, as the tenant's own user.
 * Promise: a put is absent or whole, also when the quota is full or the warden goes away half-way.
 */
import {
  closeSync,
  createReadStream,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  statfsSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import type { Work } from './exec.ts';
import { creditBody, Kind } from './frame.ts';
import { outflow, type Send } from './outflow.ts';

export type Done = (kind: Kind, body: object) => void;

export const NOTHING: Work = {
  data: () => {},
  dataEnd: () => {},
  credit: () => {},
  signal: () => {},
  cancel: () => {},
};
export const CHUNK_BYTES = 256 * 1024;
export const LIST_ENTRIES_MAX = 5_000;

export function faultBody(fault: unknown): { code: string; message: string } {
  const { code = 'fault', message } = fault as NodeJS.ErrnoException;
  return { code, message };
}

interface Space {
  cap_bytes: number;
  available_bytes: number;
}

/** Of the file system that the path will be on, whose directories may not exist yet. */
export function spaceAt(path: string): Space {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    try {
      const { bsize, blocks, bavail } = statfsSync(folder);
      return { cap_bytes: bsize * blocks, available_bytes: bsize * bavail };
    } catch (fault) {
      const isTop = dirname(folder) === folder;
      if (isTop || (fault as NodeJS.ErrnoException).code !== 'ENOENT') throw fault;
    }
  }
}

/** What is missing is told with the figures. */
function putFault(fault: unknown, path: string): object {
  const body = faultBody(fault);
  return body.code === 'ENOSPC' ? { ...body, ...spaceAt(path) } : body;
}

interface PutRequest {
  path: string;
  mode?: number;
  call: number;
  /** How many bytes will come; looked at before anything is made. */
  bytes?: number;
}

export function startPut(request: PutRequest, send: Send, done: Done): Work {
  const space = request.bytes === undefined ? undefined : spaceAt(request.path);
  if (space && (request.bytes as number) > space.available_bytes) {
    done(Kind.fault, { code: 'ENOSPC', message: 'the disk has no room for it', ...space });
    return NOTHING;
  }
  const temporary = `${request.path}.part-${process.pid}-${request.call}`;
  mkdirSync(dirname(request.path), { recursive: true });
  const fd = openSync(temporary, 'wx', request.mode ?? 0o644);
  let bytesWritten = 0;
  let isOpen = true;
  const abandon = (): void => {
    if (!isOpen) return;
    isOpen = false;
    closeSync(fd);
    unlinkSync(temporary);
  };
  const orFail = (step: () => void): void => {
    try {
      step();
    } catch (fault) {
      abandon();
      done(Kind.fault, putFault(fault, request.path));
    }
  };
  const write = (bytes: Buffer): void => {
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    bytesWritten += bytes.length;
    send(Kind.credit, creditBody(bytes.length));
  };
  /** fsync before rename: after a crash the file is absent or whole. */
  const close = (): void => {
    fsyncSync(fd);
    renameSync(temporary, request.path);
    isOpen = false;
    closeSync(fd);
    done(Kind.end, { bytes: bytesWritten });
  };
  return {
    ...NOTHING,
    data: (bytes) => isOpen && orFail(() => write(bytes)),
    dataEnd: () => isOpen && orFail(close),
    cancel: abandon,
  };
}

/** `start` and `end` are byte positions, both included. A pipe or a device is refused: reading it might never end. */
export function startGet(request: { path: string; start?: number; end?: number }, send: Send, done: Done): Work {
  const status = statSync(request.path);
  if (!status.isFile()) {
    done(Kind.fault, { code: status.isDirectory() ? 'EISDIR' : 'EINVAL', message: 'not a regular file' });
    return NOTHING;
  }
  const fd = openSync(request.path, 'r');
  send(Kind.meta, { bytes: fstatSync(fd).size, mode: status.mode & 0o7777 });
  const { start, end } = request;
  const stream = createReadStream('', {
    fd,
    highWaterMark: CHUNK_BYTES,
    ...(start === undefined ? {} : { start }),
    ...(end === undefined ? {} : { end }),
  });
  return streamOut(stream, send, done);
}

export function streamOut(stream: Readable, send: Send, done: Done): Work {
  const flow = outflow(send);
  stream.on('error', (fault) => done(Kind.fault, faultBody(fault)));
  stream.on('end', () => done(Kind.end, {}));
  flow.pump(stream, Kind.out);
  return { ...NOTHING, credit: flow.credit, cancel: flow.stop };
}

export const typeOf = (status: ReturnType<typeof lstatSync>): string => {
  if (status?.isFile()) return 'file';
  if (status?.isDirectory()) return 'directory';
  return status?.isSymbolicLink() ? 'link' : 'other';
};

function entryOf(folder: string, name: string): object | undefined {
  try {
    const status = lstatSync(`${folder}/${name}`);
    const modifiedUs = Math.round(status.mtimeMs * 1_000);
    return { name, type: typeOf(status), bytes: status.size, mode: status.mode & 0o7777, modified_us: modifiedUs };
  } catch {
    return undefined;
  }
}

/** One JSON text; entries that vanish between look and look are left out. */
export function startList(request: { path: string }, send: Send, done: Done): Work {
  const names = readdirSync(request.path).sort();
  const entries = names.slice(0, LIST_ENTRIES_MAX).flatMap((name) => entryOf(request.path, name) ?? []);
  const text = Buffer.from(JSON.stringify({ entries, truncated: names.length > LIST_ENTRIES_MAX }));
  const chunks = Array.from({ length: Math.ceil(text.length / CHUNK_BYTES) }, (_, index) =>
    text.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES),
  );
  return streamOut(Readable.from(chunks, { objectMode: true }), send, done);
}
