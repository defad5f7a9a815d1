/**
 * Watches of the mock's sandboxes: told by the calls that change files, at once.
 * Promise: as bounded as the real ones; it sees no command's writes, because the mock's commands write nothing.
 */
import { posix } from 'node:path';
import { placeOf, typeAt } from './mock-places.ts';
import { HOME, type MockSandbox } from './mock-sandbox.ts';
import { ProviderFault } from './port.ts';
import type { FileEvent, FileEventKind, OpenWatch, WatchCalls, WatchPage } from './port-files.ts';

const WATCHES_MAX = 8;
const EVENTS_KEPT_MAX = 4_096;

export interface MockWatch {
  order: OpenWatch;
  /** The folder, absolute. */
  place: string;
  events: FileEvent[];
  nextCursor: number;
  isOver: boolean;
}

/** A change of a path; both are absolute. */
export interface PathEvent {
  kind: 'created' | 'modified' | 'deleted' | 'moved';
  path: string;
  from?: string;
  type: 'file' | 'directory';
}

function append(watch: MockWatch, event: Omit<FileEvent, 'cursor' | 'at_us'>): void {
  watch.events.push({ cursor: watch.nextCursor++, at_us: 0, ...event });
  if (watch.events.length > EVENTS_KEPT_MAX) watch.events.shift();
}

/** Undefined when the watch does not look there. */
function toldAs({ order, place }: MockWatch, path: string): string | undefined {
  const rest = path.startsWith(`${place}/`) ? path.slice(place.length + 1) : undefined;
  if (rest === undefined || (!order.recursive && rest.includes('/'))) return undefined;
  return order.path === '.' ? rest : `${order.path.replace(/\/+$/, '')}/${rest}`;
}

function tellOne(watch: MockWatch, { kind, path, from, type }: PathEvent): void {
  const to = toldAs(watch, path);
  const was = from === undefined ? undefined : toldAs(watch, from);
  const all = { type, reason: null };
  if (kind !== 'moved' && to !== undefined) append(watch, { kind, path: to, from: null, ...all });
  else if (to !== undefined && was !== undefined) append(watch, { kind, path: to, from: was, ...all });
  else if (to !== undefined) append(watch, { kind: 'created', path: to, from: null, ...all });
  else if (was !== undefined) append(watch, { kind: 'deleted', path: was, from: null, ...all });
}

/** What writing a path will make: the folders above that are not there, then itself. */
export function written(sandbox: MockSandbox, path: string, type: 'file' | 'directory'): PathEvent[] {
  if (typeAt(sandbox, path)) return [{ kind: 'modified', path, type }];
  const above = posix.dirname(path);
  return [...(typeAt(sandbox, above) ? [] : written(sandbox, above, 'directory')), { kind: 'created', path, type }];
}

function end(watch: MockWatch, reason: string): void {
  if (watch.isOver) return;
  watch.isOver = true;
  append(watch, { kind: 'ended', path: watch.order.path, from: null, type: null, reason });
}

/** Tells all watches of a sandbox; one whose folder went ends. */
export function tellWatches(sandbox: MockSandbox, ...events: PathEvent[]): void {
  for (const watch of sandbox.watches.values()) {
    if (watch.isOver) continue;
    for (const event of events) tellOne(watch, event);
    if (typeAt(sandbox, watch.place) !== 'directory') end(watch, 'gone');
  }
}

function pageOf(watch: MockWatch, events: FileEvent[], after: number): WatchPage {
  const next = events.at(-1)?.cursor ?? after;
  const first = watch.events[0]?.cursor ?? watch.nextCursor;
  const isOver = watch.isOver && next >= watch.nextCursor - 1;
  const head = watch.nextCursor - 1;
  return { ...watch.order, directories: 1, head, events, next_after: next, first_cursor: first, is_over: isOver };
}

function read(watch: MockWatch, after: number): WatchPage {
  const first = watch.events[0]?.cursor ?? watch.nextCursor;
  const events = watch.events.filter(({ cursor }) => cursor > after);
  if (after >= first - 1) return pageOf(watch, events, after);
  const kind: FileEventKind = 'missed';
  const missed = {
    cursor: first - 1,
    at_us: 0,
    kind,
    path: watch.order.path,
    from: null,
    type: null,
    reason: 'behind',
  };
  return pageOf(watch, [missed, ...events], after);
}

function open(sandbox: MockSandbox, order: OpenWatch): WatchPage {
  const known = sandbox.watches.get(order.watch_id);
  if (known) return pageOf(known, [], known.nextCursor - 1);
  const place = placeOf(sandbox, order.path);
  const type = typeAt(sandbox, place);
  if (!type) throw new ProviderFault('gone', 'no_such_file', 'no such file or folder');
  if (type === 'file') throw new ProviderFault('refused', 'not_a_folder', 'it is not a folder');
  const live = [...sandbox.watches.values()].filter(({ isOver }) => !isOver).length;
  if (live >= WATCHES_MAX) {
    const facts = { cap: WATCHES_MAX, asked: live + 1, available: 0 };
    throw new ProviderFault('refused', 'too_many_watches', `at most ${WATCHES_MAX} watches at once`, facts);
  }
  const watch: MockWatch = { order, place: posix.resolve(HOME, place), events: [], nextCursor: 1, isOver: false };
  sandbox.watches.set(order.watch_id, watch);
  return pageOf(watch, [], 0);
}

function watchOf(sandbox: MockSandbox, id: string): MockWatch {
  const watch = sandbox.watches.get(id);
  if (!watch) throw new ProviderFault('gone', 'unknown_watch', 'there is no such watch');
  if (sandbox.ended) end(watch, 'sandbox_ended');
  return watch;
}

/** `running` gives the sandbox, noting why it was used; `any` gives it whatever its state. */
export function watchCalls(
  running: (name: string, cause: string) => MockSandbox,
  any: (name: string) => MockSandbox,
): WatchCalls {
  return {
    openWatch: async (name, order) => open(running(name, 'watch'), order),
    readWatch: async (name, id, { after = 0 } = {}) => read(watchOf(any(name), id), after),
    closeWatch: async (name, id) => end(watchOf(any(name), id), 'closed'),
  };
}
