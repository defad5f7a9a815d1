/**
 * The output of a command while it comes, and its end.
 * Promise: every byte once and in order, also across lost connections; what is kept in memory is bounded.
 */
import { type Event, type Exec, type ExecEndEvent, ExecEndKind, ExecEndKindSchema } from '@tallystick/proto';

/** A piece of output. */
export interface OutputChunk {
  stream: 'stdout' | 'stderr';
  bytes: Uint8Array;
  /** Pass it as `after` to read on behind this piece. */
  cursor: bigint;
}

/** How a command ended. `lease_ended`: the paid time of its sandbox was over; `not_started`: `startError` says why. */
export type ExecEnd =
  | 'not_started'
  | 'exited'
  | 'signaled'
  | 'oom'
  | 'timeout'
  | 'lease_ended'
  | 'killed'
  | 'sandbox_lost';

export interface ExecOutcome {
  end: ExecEnd;
  /** When it exited by itself. */
  exitCode?: number;
  /** Name of the signal when it was signaled. */
  signal?: string;
  /** Why it was not started: `ENOENT` (no such program or no such cwd), `EACCES` (it may not be run) and others, where it is known. */
  startError?: string;
}

export interface ExecResult extends ExecOutcome {
  execId: string;
  sandboxId: string;
  /** The first OUTPUT_KEPT_BYTES_MAX bytes as text; bytes that are not UTF-8 become U+FFFD. */
  stdout: string;
  stderr: string;
  /** Output beyond OUTPUT_KEPT_BYTES_MAX was passed to onOutput only. */
  truncated: boolean;
  /** Receipt of the start; empty when the command was only followed. */
  receiptId: string;
}

/** Most output that a result keeps of each stream. */
export const OUTPUT_KEPT_BYTES_MAX = 16 * 1024 * 1024;

const STREAM_NAMES = { 1: 'stdout', 2: 'stderr' } as const;

/** The piece of output in a live event; undefined when it is none. */
export function chunkOf(event: Event): OutputChunk | undefined {
  if (event.body.case !== 'output') return undefined;
  const stream = STREAM_NAMES[event.body.value.stream as 1 | 2];
  if (!stream) throw new TypeError(`output of an unknown stream ${event.body.value.stream}`);
  return { stream, bytes: event.body.value.bytes, cursor: event.cursor };
}

/** The command's end in a live event; undefined when it is none. */
export function endOfEvent(event: Event): ExecOutcome | undefined {
  if (event.body.case !== 'execEnd') return undefined;
  const { end, ...how } = event.body.value;
  return outcomeOf(end as ExecEnd, how);
}

/** The command's end as the platform tells it; undefined while it runs. */
export function endOfExec(exec: Exec): ExecOutcome | undefined {
  if (exec.running) return undefined;
  const word = ExecEndKindSchema.value[exec.end]?.localName.toLowerCase();
  if (word === undefined || exec.end === ExecEndKind.UNSPECIFIED)
    throw new TypeError(`a command ended in an unknown way: ${exec.end}`);
  return outcomeOf(word as ExecEnd, exec);
}

function outcomeOf(
  end: ExecEnd,
  { exitCode, signal, startError }: Pick<ExecEndEvent, 'exitCode' | 'signal' | 'startError'>,
): ExecOutcome {
  return {
    end,
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(signal === '' ? {} : { signal }),
    ...(startError === '' ? {} : { startError }),
  };
}

/** Keeps the beginning of what passes. */
export function outputKeeper(bytesMax: number = OUTPUT_KEPT_BYTES_MAX) {
  const kept = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  const room = { stdout: bytesMax, stderr: bytesMax };
  let truncated = false;
  return {
    keep({ stream, bytes }: OutputChunk): void {
      const part = bytes.subarray(0, room[stream]);
      if (part.length < bytes.length) truncated = true;
      if (part.length > 0) kept[stream].push(Uint8Array.from(part));
      room[stream] -= part.length;
    },
    text: (stream: 'stdout' | 'stderr'): string => Buffer.concat(kept[stream]).toString('utf8'),
    get truncated(): boolean {
      return truncated;
    },
  };
}
