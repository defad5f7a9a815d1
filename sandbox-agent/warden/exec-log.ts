/**
 * The output of one command on disk: both streams in one log, read by byte position.
 * Promise: at most EXEC_LOG_BYTES_MAX stay on disk; what was dropped at the front is said, never skipped in silence.
 */
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, write } from 'node:fs';
import { join } from 'node:path';

const SEGMENT_BYTES = 1024 * 1024;
export const SEGMENTS_MAX = 16;
export const EXEC_LOG_BYTES_MAX = SEGMENT_BYTES * SEGMENTS_MAX;
const HEAD_BYTES = 5;

interface Segment {
  file: string;
  /** Cursor of its first byte. */
  start: number;
  /** Bytes of output in it. */
  length: number;
  /** Bytes of the file, heads included. */
  fileBytes: number;
}

/** A piece of one stream; `cursor` is the position of its first byte in the combined log. */
export interface Chunk {
  stream: 1 | 2;
  cursor: number;
  bytes: Buffer;
}

export interface OutputPage {
  chunks: Chunk[];
  /** Where the next read goes on. */
  nextCursor: number;
  /** The oldest byte still there; above `after` when bytes were dropped. */
  firstCursor: number;
}

export class ExecLog {
  readonly #directory: string;
  readonly #segments: Segment[] = [];
  #fd: number | undefined;
  #nextFile = 0;
  #tail: Promise<void> = Promise.resolve();
  /** Bytes per stream, from the command's start. */
  readonly total = { 1: 0, 2: 0 };

  constructor(directory: string) {
    this.#directory = directory;
  }

  get end(): number {
    return this.total[1] + this.total[2];
  }

  /** Resolves when the bytes can be read. */
  append(stream: 1 | 2, bytes: Buffer): Promise<void> {
    this.#tail = this.#tail.then(() => this.#write(stream, bytes));
    return this.#tail;
  }

  async #write(stream: 1 | 2, bytes: Buffer): Promise<void> {
    const segment = this.#segmentWithRoom();
    const head = Buffer.alloc(HEAD_BYTES);
    head.writeUInt8(stream, 0);
    head.writeUInt32BE(bytes.length, 1);
    await writeWhole(this.#fd as number, Buffer.concat([head, bytes]), segment.fileBytes);
    segment.fileBytes += HEAD_BYTES + bytes.length;
    segment.length += bytes.length;
    this.total[stream] += bytes.length;
  }

  #segmentWithRoom(): Segment {
    const last = this.#segments.at(-1);
    if (last && last.fileBytes < SEGMENT_BYTES) return last;
    if (!last) mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    if (this.#fd !== undefined) closeSync(this.#fd);
    const segment = {
      file: join(this.#directory, `${this.#nextFile++}.log`),
      start: this.end,
      length: 0,
      fileBytes: 0,
    };
    this.#fd = openSync(segment.file, 'wx', 0o600);
    this.#segments.push(segment);
    if (this.#segments.length > SEGMENTS_MAX) rmSync((this.#segments.shift() as Segment).file, { force: true });
    return segment;
  }

  /** At most `bytesMax` of one segment from `after` on; fewer where the segment ends. */
  read(after: number, bytesMax: number): OutputPage {
    const firstCursor = this.#segments[0]?.start ?? this.end;
    const from = Math.max(after, firstCursor);
    const segment = this.#segments.find(({ start, length }) => from < start + length);
    if (!segment) return { chunks: [], nextCursor: Math.min(from, this.end), firstCursor };
    const chunks = chunksWithin(segment, from, bytesMax);
    const taken = chunks.reduce((sum, chunk) => sum + chunk.bytes.length, 0);
    return { chunks, nextCursor: from + taken, firstCursor };
  }

  /** No more is written; what is there stays readable. */
  async close(): Promise<void> {
    await this.#tail.catch(() => {});
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  /** The bytes go; the counts stay. */
  drop(): void {
    this.#segments.length = 0;
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function chunksWithin(segment: Segment, from: number, bytesMax: number): Chunk[] {
  const file = readFileSync(segment.file).subarray(0, segment.fileBytes);
  const chunks: Chunk[] = [];
  let cursor = segment.start;
  let room = bytesMax;
  for (let at = 0; at < file.length && room > 0; ) {
    const stream = file.readUInt8(at) as 1 | 2;
    const length = file.readUInt32BE(at + 1);
    const skip = Math.max(0, from - cursor);
    if (skip < length) {
      const bytes = file.subarray(at + HEAD_BYTES + skip, at + HEAD_BYTES + Math.min(length, skip + room));
      chunks.push({ stream, cursor: cursor + skip, bytes });
      room -= bytes.length;
    }
    cursor += length;
    at += HEAD_BYTES + length;
  }
  return chunks;
}

function writeWhole(fd: number, bytes: Buffer, position: number): Promise<void> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, 0, bytes.length, position, (fault, written) => {
      if (fault) return reject(fault);
      if (written === bytes.length) return resolve();
      writeWhole(fd, bytes.subarray(written), position + written).then(resolve, reject);
    });
  });
}
