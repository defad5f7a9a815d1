/**
 * What stands below a watched directory, and what became of it since the last look.
 * Promise: links are never followed, a file put in whole shows no half; what the kernel's queue lost is found by a sweep.
 */
import { type FSWatcher, watch as fsWatch, lstatSync, readdirSync, realpathSync } from 'node:fs';
import { typeOf } from './files.ts';
import { codeFault } from './paths.ts';

/** Directories that all watches of a sandbox may look into; what is below others is not told. */
export const WATCH_DIRECTORIES_MAX = 4_096;
/** Names that they keep in mind, in the sandbox's own memory. */
export const WATCH_ENTRIES_MAX = 50_000;

export type ChangeKind = 'created' | 'modified' | 'deleted' | 'moved' | 'missed';

/** One thing that happened; paths are relative to the watched directory. */
export interface Change {
  kind: ChangeKind;
  path: string;
  from?: string;
  type?: string;
  /** Why something may be missing: `directories_max` or `entries_max`. */
  reason?: string;
}

interface Entry {
  name: string;
  parent: Entry | undefined;
  type: string;
  /** Which file it is, whatever its name. */
  id: string;
  /** Differs when its content or mode does. */
  stamp: string;
  /** Of a directory that is looked into. */
  children: Map<string, Entry> | undefined;
  watcher: FSWatcher | undefined;
  /** It was told that what is below is not. */
  isFull: boolean;
}

/** What a look at a name saw. */
type Seen = Pick<Entry, 'type' | 'id' | 'stamp'>;

/** Undefined when nothing stands there. */
function look(path: string): Seen | undefined {
  const status = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (!status) return undefined;
  const { dev, ino, birthtimeNs, mtimeNs, size, mode } = status;
  return { type: typeOf(status), id: `${dev}:${ino}:${birthtimeNs}`, stamp: `${mtimeNs}:${size}:${mode}` };
}

/** A directory that is gone or closed to us is as good as empty. */
function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** What a put writes before it has its name. */
const isHalf = (name: string): boolean => name.includes(`.part-${process.pid}-`);

/** A name that stood for something else, or stands for nothing now. */
interface Gone {
  entry: Entry;
  /** What took its place is told instead: a file of a file, or whatever moved there. */
  isReplaced: boolean;
  /** It stands elsewhere now. */
  isReunited: boolean;
}

interface Appeared {
  parent: Entry;
  name: string;
  seen: Seen;
  /** A file took the place of a file. */
  isReplacing: boolean;
}

const placeOf = ({ parent, name }: { parent: Entry | undefined; name: string }): string => `${parent?.id} ${name}`;

/** A class because it holds watchers of the kernel until it is closed. */
export class WatchTree {
  readonly #root: Entry;
  readonly #rootPath: string;
  readonly #isRecursive: boolean;
  readonly #tell: (change: Change) => void;
  /** Something happened to these names; they are looked at in the next `flush`. */
  readonly #marked = new Map<Entry, Set<string>>();
  readonly #onMark: () => void;
  /** Gone at the last look: the other half of a move may still come. */
  #orphans: Gone[] = [];
  #directories = 0;
  static readonly #inAll = { directories: 0, entries: 0 };
  #isFirstLook = true;
  #isToldFull = false;

  /** @errors throws when the path is no directory, or holds more than a watch may */
  constructor(path: string, isRecursive: boolean, tell: (change: Change) => void, onMark: () => void) {
    this.#rootPath = realpathSync(path);
    this.#isRecursive = isRecursive;
    this.#tell = tell;
    this.#onMark = onMark;
    const seen = look(this.#rootPath) as Seen;
    if (seen.type !== 'directory') throw codeFault('ENOTDIR', 'only a directory can be watched');
    this.#root = { ...seen, name: '', parent: undefined, children: undefined, watcher: undefined, isFull: false };
    try {
      this.#enter(this.#root);
    } catch (fault) {
      this.close();
      throw fault;
    }
    this.#isFirstLook = false;
  }

  get directories(): number {
    return this.#directories;
  }

  close(): void {
    for (const { entry } of this.#orphans.splice(0)) this.#forget(entry);
    this.#leave(this.#root);
    this.#marked.clear();
  }

  #relative(entry: Entry): string {
    const above = entry.parent ? this.#relative(entry.parent) : '';
    return above === '' ? entry.name : `${above}/${entry.name}`;
  }

  #pathOf(entry: Entry): string {
    const relative = this.#relative(entry);
    return relative === '' ? this.#rootPath : `${this.#rootPath}/${relative}`;
  }

  #mark(entry: Entry, name: string): void {
    if (isHalf(name)) return;
    const names = this.#marked.get(entry) ?? new Set();
    this.#marked.set(entry, names.add(name));
    this.#onMark();
  }

  /** Watches first and reads then, so that nothing falls between. One that moves away meanwhile is entered where it turns up. */
  #enter(directory: Entry): void {
    if (WatchTree.#inAll.directories >= WATCH_DIRECTORIES_MAX) return void this.#full(directory, 'directories_max');
    const path = this.#pathOf(directory);
    const watcher = this.#watch(directory, path);
    if (!watcher) return;
    const found = namesIn(path).flatMap((name) => {
      const seen = isHalf(name) ? undefined : look(`${path}/${name}`);
      return seen ? [{ parent: directory, name, seen, isReplacing: false }] : [];
    });
    if (look(path)?.id !== directory.id) return void watcher.close();
    directory.watcher = watcher;
    directory.children = new Map();
    this.#directories += 1;
    WatchTree.#inAll.directories += 1;
    for (const one of found) this.#adopt(one);
  }

  #watch(directory: Entry, path: string): FSWatcher | undefined {
    try {
      const watcher = fsWatch(path, { persistent: false }, (_, name) => this.#mark(directory, String(name)));
      watcher.on('error', () => undefined);
      return watcher;
    } catch (fault) {
      const { code } = fault as NodeJS.ErrnoException;
      if (code === 'ENOSPC' || code === 'EMFILE') this.#full(directory, 'directories_max');
      else if (directory === this.#root) throw fault;
      return undefined; // gone, or closed to us
    }
  }

  /** A directory that could not be entered when it was first seen. */
  #enterLate(entry: Entry): void {
    const isOpen = entry.children !== undefined || entry.isFull;
    if (entry.type === 'directory' && this.#isRecursive && !isOpen) this.#enter(entry);
  }

  /** At the first look too much is refused, later it is told. */
  #full(directory: Entry, reason: string): void {
    if (this.#isFirstLook) throw codeFault(reason, 'there is more below it than one watch may look at');
    directory.isFull = true;
    this.#tell({ kind: 'missed', path: this.#relative(directory), reason });
  }

  /** Told once until there is room again. */
  #fullOfEntries(directory: Entry): void {
    if (!this.#isToldFull) this.#full(directory, 'entries_max');
    this.#isToldFull = true;
  }

  #adopt({ parent, name, seen, isReplacing }: Appeared): void {
    if (WatchTree.#inAll.entries >= WATCH_ENTRIES_MAX) return void this.#fullOfEntries(parent);
    this.#isToldFull = false;
    const entry: Entry = { ...seen, name, parent, children: undefined, watcher: undefined, isFull: false };
    parent.children?.set(name, entry);
    WatchTree.#inAll.entries += 1;
    const path = this.#relative(entry);
    if (!this.#isFirstLook) this.#tell({ kind: isReplacing ? 'modified' : 'created', path, type: entry.type });
    if (entry.type === 'directory' && this.#isRecursive) this.#enter(entry);
  }

  /** Forgets an entry with everything below. */
  #forget(entry: Entry): void {
    WatchTree.#inAll.entries -= 1;
    this.#leave(entry);
  }

  /** Forgets everything below; the entry itself stays with its parent. */
  #leave(entry: Entry): void {
    this.#marked.delete(entry);
    if (entry.watcher) {
      this.#directories -= 1;
      WatchTree.#inAll.directories -= 1;
    }
    entry.watcher?.close();
    entry.watcher = undefined;
    for (const child of entry.children?.values() ?? []) this.#forget(child);
    entry.children = undefined;
  }

  /** Looks at every marked name and tells what became of it; false when the watched directory itself is gone. */
  flush(): boolean {
    const marked = [...this.#marked];
    this.#marked.clear();
    const gone: Gone[] = [];
    const appeared: Appeared[] = [];
    for (const [directory, names] of marked) {
      const path = this.#pathOf(directory);
      // it has moved itself: its names are looked at where it is then
      if (look(path)?.id !== directory.id) for (const name of names) this.#mark(directory, name);
      else for (const name of names) this.#compare(directory, name, look(`${path}/${name}`), gone, appeared);
    }
    this.#settle(gone, appeared);
    return look(this.#rootPath)?.id === this.#root.id;
  }

  /** Told so that whoever replays it in order ends with what is there. */
  #settle(gone: Gone[], appeared: Appeared[]): void {
    const places = new Map(gone.map((one) => [placeOf(one.entry), one]));
    for (const { entry } of gone) entry.parent?.children?.delete(entry.name);
    const others = this.#reuniteAll(appeared, this.#orphans, places);
    for (const one of this.#orphans) if (!one.isReunited) this.#drop(one);
    const fresh = this.#reuniteAll(others, gone, places);
    const taken = new Set(fresh.map(placeOf));
    this.#orphans = [];
    for (const one of gone) {
      if (one.isReunited) continue;
      if (one.isReplaced || taken.has(placeOf(one.entry))) this.#drop(one);
      else this.#orphans.push(one);
    }
    for (const one of fresh) this.#adopt(one);
    if (this.#orphans.length > 0) this.#onMark();
  }

  /** Those that are no one that was gone. */
  #reuniteAll(appeared: Appeared[], gone: Gone[], places: Map<string, Gone>): Appeared[] {
    const byId = new Map(gone.map((one) => [one.entry.id, one]));
    return appeared.filter((one) => {
      const found = byId.get(one.seen.id);
      if (!found || found.isReunited || found.entry.type !== one.seen.type) return true;
      const replaced = places.get(placeOf(one));
      if (replaced) replaced.isReplaced = true;
      this.#reunite(one, found);
      return false;
    });
  }

  #compare(directory: Entry, name: string, seen: Seen | undefined, gone: Gone[], appeared: Appeared[]): void {
    const known = directory.children?.get(name);
    if (known && seen && known.id === seen.id) return void this.#restamp(known, seen);
    const isReplacing = known?.type === 'file' && seen?.type === 'file';
    if (known) gone.push({ entry: known, isReplaced: isReplacing, isReunited: false });
    if (seen && directory.children) appeared.push({ parent: directory, name, seen, isReplacing });
  }

  #restamp(known: Entry, { stamp }: Seen): void {
    const isChanged = known.stamp !== stamp && known.type !== 'directory';
    known.stamp = stamp;
    if (isChanged) this.#tell({ kind: 'modified', path: this.#relative(known), type: known.type });
    this.#enterLate(known);
  }

  /** The same file under another name has moved, with everything below it. */
  #reunite(one: Appeared, found: Gone): void {
    found.isReunited = true;
    const { entry } = found;
    const from = this.#relative(entry);
    entry.parent = one.parent;
    entry.name = one.name;
    entry.stamp = one.seen.stamp;
    one.parent.children?.set(one.name, entry);
    const path = this.#relative(entry);
    if (path !== from) this.#tell({ kind: 'moved', path, from, type: entry.type });
    this.#enterLate(entry);
  }

  #drop({ entry, isReplaced }: Gone): void {
    if (!isReplaced) this.#tell({ kind: 'deleted', path: this.#relative(entry), type: entry.type });
    this.#forget(entry);
  }

  /** Marks everything there is, one directory per step. */
  *sweep(): Generator<void> {
    const waiting: Entry[] = [this.#root];
    for (let directory = waiting.pop(); directory; directory = waiting.pop()) {
      const { children } = directory;
      if (!children) continue;
      const names = namesIn(this.#pathOf(directory));
      for (const name of new Set([...names, ...children.keys()])) this.#mark(directory, name);
      waiting.push(...children.values());
      yield;
    }
  }
}
