/**
 * Length-prefixed frames between warden and guest: u32 length, u8 kind, u32 call, body.
 * Promise: a reader never buffers more than one frame over its limit; a longer one is an error, not memory.
 */

export const FRAME_BYTES_MAX = 256 * 1024;
/** What a sender may have on the way per call and direction before the receiver gives credit back. */
export const WINDOW_BYTES = 1024 * 1024;
const HEAD_BYTES = 9;

export const Kind = {
  exec: 1,
  put: 2,
  get: 3,
  list: 4,
  /** Bytes into a call: stdin of an exec, content of a put. */
  data: 5,
  dataEnd: 6,
  signal: 7,
  cancel: 8,
  /** The size of a terminal. */
  resize: 10,
  stat: 11,
  mkdir: 12,
  move: 13,
  remove: 14,
  /** Says what changes below a directory until it is cancelled. */
  watch: 15,
  /** Both ways: the receiver has taken this many bytes (u32). */
  credit: 9,
  hello: 16,
  out: 17,
  err: 18,
  meta: 19,
  end: 20,
  fault: 21,
  /** A stream to a port on the sandbox's own loopback. */
  dial: 48,
  /** A proxy port on the sandbox's loopback, carried to the machine's broker. */
  forward: 64,
} as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

export interface Frame {
  kind: number;
  call: number;
  body: Buffer;
}

export interface TerminalSize {
  columns: number;
  rows: number;
}

export interface ExecRequest {
  argv: string[];
  env?: Record<string, string>;
  cwd?: string;
  timeoutMs?: number;
  hasStdin: boolean;
  /** On a terminal of this size instead of three pipes. */
  tty?: TerminalSize;
}

export function encodeFrame(kind: Kind, call: number, body: Buffer | object = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
  if (bytes.length > FRAME_BYTES_MAX)
    throw new RangeError(`frame of ${bytes.length} bytes, at most ${FRAME_BYTES_MAX}`);
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32BE(bytes.length, 0);
  head.writeUInt8(kind, 4);
  head.writeUInt32BE(call, 5);
  return Buffer.concat([head, bytes]);
}

export function creditBody(bytes: number): Buffer {
  const body = Buffer.alloc(4);
  body.writeUInt32BE(bytes, 0);
  return body;
}

/** Takes chunks as they arrive and returns whole frames. @errors throws RangeError on an oversized frame. */
export function frameReader(): (chunk: Buffer) => Frame[] {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const frames: Frame[] = [];
    while (rest.length >= HEAD_BYTES) {
      const length = rest.readUInt32BE(0);
      if (length > FRAME_BYTES_MAX) throw new RangeError(`frame of ${length} bytes, at most ${FRAME_BYTES_MAX}`);
      const end = HEAD_BYTES + length;
      if (rest.length < end) break;
      frames.push({ kind: rest.readUInt8(4), call: rest.readUInt32BE(5), body: rest.subarray(HEAD_BYTES, end) });
      rest = rest.subarray(end);
    }
    return frames;
  };
}
