/**
 * Changes below a directory of a sandbox, while they happen.
 * Promise: events come in order and add up; whenever something may have been missed, a `missed` event says so.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { FileEvent as FileEventMessage } from '@tallystick/proto';
import { type Asked, askedOf, keyOf } from './ids.ts';
import { LiveProblem } from './live.ts';
import { ApiError, type Link } from './services.ts';

export interface WatchOptions extends Asked {
  /** Also everything below; absent: the directory's own names. */
  recursive?: boolean;
  /** Called when it is watched: what happens from now on is told. */
  onReady?: () => void;
}

/** `missed`: list the directory anew and go on; what came between is not told. */
export type FileEventKind = 'created' | 'modified' | 'deleted' | 'moved' | 'missed';

/** What became of a path since the last look; not every step to it. */
export interface FileEvent {
  kind: FileEventKind;
  /** As the directory was named, with the rest behind it: pass it to `read` or `stat`. */
  path: string;
  /** Where it was, of `moved`. What is below a directory that was moved or deleted went with it. */
  from?: string;
  /** `file`, `directory`, `link` or `other`. */
  type?: string;
  /** Why, of `missed`: `behind`, `directories_max`, `entries_max` or `reopened`. */
  reason?: string;
}

const REOPEN_PAUSE_MS = 1_000;
/** The directory is gone, or somebody closed the watch: nothing more will come. */
const FINAL: ReadonlySet<string> = new Set(['gone', 'closed', 'sandbox_ended']);

function eventOf({ kind, path, from, type, reason }: FileEventMessage): FileEvent {
  return {
    kind: kind as FileEventKind,
    path,
    ...(from === '' ? {} : { from }),
    ...(type === '' ? {} : { type }),
    ...(reason === '' ? {} : { reason }),
  };
}

/**
 * @internal Ends when the directory or the sandbox does. A watch that the platform has dropped, because this side was away
 * for too long, is opened anew and told as `missed`.
 */
export async function* watchFiles(
  link: Link,
  id: string,
  path: string,
  { recursive = false, signal, onReady }: WatchOptions = {},
): AsyncGenerator<FileEvent> {
  for (let isFirst = true; !signal?.aborted; isFirst = false) {
    const { watchId, cursor } = await link.services.watches.openWatch({ id, path, recursive }, keyOf());
    if (isFirst) onReady?.();
    else yield { kind: 'missed', path, reason: 'reopened' };
    try {
      const end = yield* follow(link, `watch/${id}/${watchId}`, cursor, signal);
      if (end === undefined || FINAL.has(end)) return;
    } finally {
      await link.services.watches.closeWatch({ id, watchId }, keyOf()).catch(ignoreGone);
    }
    await pause(REOPEN_PAUSE_MS, undefined, askedOf({ signal })).catch(() => undefined);
  }
}

/** Why it ended; undefined when the reader did; `lost` when the platform knows the watch no more. */
async function* follow(
  link: Link,
  topic: string,
  after: bigint,
  signal: AbortSignal | undefined,
): AsyncGenerator<FileEvent, string | undefined> {
  try {
    for await (const { body } of link.live.follow(topic, { after, ...askedOf({ signal }) })) {
      if (body.case !== 'file') continue;
      if (body.value.kind === 'ended') return body.value.reason;
      yield eventOf(body.value);
    }
    return 'lost';
  } catch (fault) {
    if (signal?.aborted) return undefined;
    if (fault instanceof LiveProblem && LOST.has(fault.code)) return 'lost';
    throw fault;
  }
}

const LOST: ReadonlySet<string> = new Set(['not_found', 'reset']);

/** It ends by itself when nobody reads it. */
function ignoreGone(fault: unknown): void {
  if (!(fault instanceof ApiError || fault instanceof TypeError)) throw fault;
}
