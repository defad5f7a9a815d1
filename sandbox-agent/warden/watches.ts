/**
 * What changes below folders of a sandbox, kept for readers who come by cursor.
 * Promise: memory is bounded whatever a guest says, a reader that fell behind is told so, and a watch that nobody reads ends.
 */
import { StringDecoder } from 'node:string_decoder';
import { Fault, refused } from './fault.ts';
import { guestFault } from './files.ts';
import type { Call, GuestLink } from './guest-link.ts';
import { Waiters } from './waiters.ts';

/** Watches that one sandbox may have at once. */
export const WATCHES_MAX = 8;
/** With those that have ended and may still be read. */
export const WATCHES_KEPT_MAX = 32;
/** Events of one watch that are kept for readers. */
export const WATCH_EVENTS_KEPT_MAX = 4_096;
/** Their texts together; long paths leave room for fewer. */
export const WATCH_CHARS_KEPT_MAX = 512 * 1024;
/** A watch that is read no more ends after this long. */
export const WATCH_IDLE_MS_MAX = 60_000;
const PAGE_EVENTS_MAX = 512;
const LINE_CHARS_MAX = 20_000;
const PATH_CHARS_MAX = 4_096;
const OPEN_MS_MAX = 20_000;
/** How much a guest may say; an honest one that has more to say says that something is missing. */
const WATCH_BYTES_PER_S_MAX = 256 * 1024;
const CREDIT_EVERY_MS = 100;

export type WatchKind = 'created' | 'modified' | 'deleted' | 'moved' | 'missed' | 'ended';

export interface WatchEvent {
  cursor: number;
  at_us: number;
  kind: WatchKind;
  /** As the caller named the folder, with the rest behind it. */
  path: string;
  /** Where it was, when it moved. */
  from: string | null;
  type: string | null;
  /** Of `missed`: `behind`, `directories_max`, `entries_max`; of `ended`: `gone`, `closed`, `sandbox_ended`, `guest_fault`. */
  reason: string | null;
}

export interface WatchPage {
  watch_id: string;
  path: string;
  recursive: boolean;
  /** Folders looked into when it began. */
  directories: number;
  /** The newest event. */
  head: number;
  events: WatchEvent[];
  next_after: number;
  /** The oldest event still kept. */
  first_cursor: number;
  is_over: boolean;
}

interface WatchOptions {
  id: string;
  path: string;
  recursive: boolean;
  nowUs: () => number;
  onIdle: () => void;
}

const KINDS: ReadonlySet<unknown> = new Set(['created', 'modified', 'deleted', 'moved', 'missed']);
const TYPES: ReadonlySet<unknown> = new Set(['file', 'directory', 'link', 'other']);
const MISSED: ReadonlySet<unknown> = new Set(['directories_max', 'entries_max']);
const OVER: ReadonlySet<unknown> = new Set(['gone']);

/** Only what leads below the folder: a client may make files of its own by these names. */
function isRelative(path: unknown): path is string {
  if (typeof path !== 'string' || path.length > PATH_CHARS_MAX || path.includes('\0')) return false;
  return path.split('/').every((name) => name !== '' && name !== '.' && name !== '..');
}

class Watch {
  readonly #options: WatchOptions;
  readonly #events: WatchEvent[] = [];
  readonly #waiters = new Waiters();
  readonly #call: Call;
  readonly #idle: NodeJS.Timeout;
  readonly #text = new StringDecoder('utf8');
  /** Begins when the guest looks, or refuses to. */
  readonly ready: Promise<void>;
  #rest = '';
  #nextCursor = 1;
  #chars = 0;
  #owedBytes = 0;
  #paying: NodeJS.Timeout | undefined;
  #directories = 0;
  #isOver = false;

  constructor(link: GuestLink, options: WatchOptions) {
    this.#options = options;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.ready = promise;
    promise.catch(() => undefined);
    const { path, recursive } = options;
    this.#idle = setTimeout(options.onIdle, WATCH_IDLE_MS_MAX).unref();
    this.#call = link.open(
      'watch',
      { path, recursive },
      {
        onMeta: ({ directories }) => {
          this.#directories = Number.isSafeInteger(directories) ? Number(directories) : 0;
          resolve();
        },
        onBytes: (_, bytes) => this.#take(bytes),
        onEnd: ({ reason }) => this.#end(OVER.has(reason) ? String(reason) : 'guest_fault'),
        onFault: (code, _, said) => {
          reject(guestFault(code, said));
          this.#end('guest_fault');
        },
        onLost: () => {
          reject(new Fault('gone', 'sandbox_lost', 'the sandbox ended meanwhile'));
          this.#end('sandbox_ended');
        },
      },
    );
    setTimeout(() => reject(refused('file_fault', 'the sandbox does not begin to watch')), OPEN_MS_MAX).unref();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  #take(bytes: Buffer): void {
    this.#payLater(bytes.length);
    const lines = `${this.#rest}${this.#text.write(bytes)}`.split('\n');
    this.#rest = lines.pop() as string;
    for (const line of lines) this.#say(line);
    if (this.#rest.length > LINE_CHARS_MAX) this.#break();
  }

  /** Credit goes back no faster than a guest may speak. */
  #payLater(bytes: number): void {
    this.#owedBytes += bytes;
    this.#paying ??= setTimeout(() => {
      this.#paying = undefined;
      const paid = Math.min(this.#owedBytes, (WATCH_BYTES_PER_S_MAX * CREDIT_EVERY_MS) / 1_000);
      this.#owedBytes -= paid;
      if (this.#isOver) return;
      this.#call.credit(paid);
      if (this.#owedBytes > 0) this.#payLater(0);
    }, CREDIT_EVERY_MS).unref();
  }

  /** What is no change of an honest guest ends the watch. */
  #say(line: string): void {
    if (this.#isOver) return;
    let said: Record<string, unknown>;
    try {
      said = JSON.parse(line);
    } catch {
      return void this.#break();
    }
    const { kind, path, from, type, reason } = said ?? {};
    const isMissed = kind === 'missed';
    const hasPath = isRelative(path) || (isMissed && path === '');
    const isWhole = KINDS.has(kind) && hasPath && (kind !== 'moved' || isRelative(from));
    if (!isWhole) return void this.#break();
    this.#append({
      kind: kind as WatchKind,
      path: this.#told(path as string),
      from: kind === 'moved' ? this.#told(from as string) : null,
      type: TYPES.has(type) ? String(type) : null,
      reason: isMissed ? (MISSED.has(reason) ? String(reason) : 'behind') : null,
    });
  }

  #break(): void {
    this.#call.cancel();
    this.#end('guest_fault');
  }

  #told(relative: string): string {
    const folder = this.#options.path.replace(/(?<=.)\/+$/, '');
    if (relative === '') return folder;
    if (folder === '.') return relative;
    return folder === '/' ? `/${relative}` : `${folder}/${relative}`;
  }

  #append(event: Omit<WatchEvent, 'cursor' | 'at_us'>): void {
    this.#events.push({ cursor: this.#nextCursor++, at_us: this.#options.nowUs(), ...event });
    this.#chars += event.path.length + (event.from?.length ?? 0);
    while (this.#events.length > WATCH_EVENTS_KEPT_MAX || this.#chars > WATCH_CHARS_KEPT_MAX) {
      const { path, from } = this.#events.shift() as WatchEvent;
      this.#chars -= path.length + (from?.length ?? 0);
    }
    this.#waiters.wake();
  }

  #end(reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#append({ kind: 'ended', path: this.#told(''), from: null, type: null, reason });
  }

  /** What it saw can be read until it is forgotten. */
  close(reason: string): void {
    this.#call.cancel();
    this.#end(reason);
  }

  forget(): void {
    clearTimeout(this.#idle);
    this.close('closed');
  }

  #page(events: WatchEvent[], after: number): WatchPage {
    const { id, path, recursive } = this.#options;
    return {
      watch_id: id,
      path,
      recursive,
      directories: this.#directories,
      head: this.#nextCursor - 1,
      events,
      next_after: events.at(-1)?.cursor ?? after,
      first_cursor: this.#events[0]?.cursor ?? this.#nextCursor,
      is_over: this.#isOver && (events.at(-1)?.cursor ?? after) >= this.#nextCursor - 1,
    };
  }

  head(): WatchPage {
    this.#idle.refresh();
    return this.#page([], this.#nextCursor - 1);
  }

  /** A reader behind the oldest event is told with an event of its own what to do: look anew, then go on. */
  async read(after: number, waitMs: number): Promise<WatchPage> {
    this.#idle.refresh();
    await this.#waiters.until(() => this.#isOver || this.#nextCursor - 1 > after, waitMs);
    this.#idle.refresh();
    const first = this.#events[0]?.cursor ?? this.#nextCursor;
    const events = this.#events.slice(Math.max(0, after + 1 - first)).slice(0, PAGE_EVENTS_MAX);
    if (after >= first - 1) return this.#page(events, after);
    const at_us = events[0]?.at_us ?? this.#options.nowUs();
    const missed = { kind: 'missed', path: this.#told(''), from: null, type: null, reason: 'behind' } as const;
    return this.#page([{ cursor: first - 1, at_us, ...missed }, ...events], after);
  }
}

const watchesOf = new WeakMap<GuestLink, Map<string, Watch>>();

export interface OpenWatch {
  watch_id: string;
  path: string;
  recursive: boolean;
}

/** Those that have ended make room, the oldest first. */
function forgetOldest(watches: Map<string, Watch>): void {
  for (const [id, watch] of watches) {
    if (watches.size < WATCHES_KEPT_MAX) return;
    if (!watch.isOver) continue;
    watch.forget();
    watches.delete(id);
  }
}

/** Idempotent on the id. @errors rejects with Fault `too_many_watches`, `watch_too_large`, `not_a_folder`, `no_such_file`, ... */
export async function openWatch(link: GuestLink, order: OpenWatch, nowUs: () => number): Promise<WatchPage> {
  const watches = watchesOf.get(link) ?? new Map<string, Watch>();
  watchesOf.set(link, watches);
  const { watch_id: id, path, recursive } = order;
  const known = watches.get(id);
  if (known) return known.ready.then(() => known.head());
  const live = [...watches.values()].filter(({ isOver }) => !isOver).length;
  if (live >= WATCHES_MAX) {
    const facts = { cap: WATCHES_MAX, asked: live + 1, available: 0 };
    throw new Fault('busy', 'too_many_watches', `at most ${WATCHES_MAX} watches of one sandbox at once`, facts);
  }
  const drop = (): void => {
    watch.forget();
    watches.delete(id);
  };
  forgetOldest(watches);
  const watch = new Watch(link, { id, path, recursive, nowUs, onIdle: drop });
  watches.set(id, watch);
  try {
    await watch.ready;
  } catch (fault) {
    drop();
    throw fault;
  }
  return watch.head();
}

/** @errors throws Fault `unknown_watch`, also for one that ended because nobody read it */
export function watchOf(link: GuestLink | undefined, id: string): Watch {
  const watch = link && watchesOf.get(link)?.get(id);
  if (!watch)
    throw new Fault('not_found', 'unknown_watch', 'there is no such watch, or it ended because nobody read it');
  return watch;
}
