/**
 * Paths of the mock's sandboxes: folders that were made or that files imply, moved and removed.
 * Promise: a refused change changes nothing, and one that is repeated under its name happens once.
 */
import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { isBelow, MOUNTS, noSuchFile, placeOf, refuse, typeAt } from './mock-places.ts';
import { HOME, type MockSandbox } from './mock-sandbox.ts';
import { tellWatches, written } from './mock-watch.ts';
import { ProviderFault } from './port.ts';
import type { PathCalls, PathChanged, PathStatus } from './port-files.ts';

const REMOVES_NO_ENTRY: ReadonlySet<string> = new Set(['', '.', '..', '/']);

function statusAt(sandbox: MockSandbox, path: string, digest: boolean): PathStatus {
  const place = placeOf(sandbox, path);
  const type = typeAt(sandbox, place);
  if (!type) throw noSuchFile();
  const bytes = sandbox.files.get(place);
  const sha256 = digest && bytes ? createHash('sha256').update(bytes).digest('hex') : null;
  const mode = type === 'file' ? 0o644 : 0o755;
  return { path, type, bytes: bytes?.length ?? 0, mode, modified_us: 0, target: null, sha256 };
}

function makeFolder(sandbox: MockSandbox, path: string, parents: boolean): PathChanged {
  const place = placeOf(sandbox, path);
  const type = typeAt(sandbox, place);
  if (type === 'directory' && parents) return { entries: 0 };
  if (type) throw refuse('file_exists', 'something stands there already');
  if (!parents && !typeAt(sandbox, posix.dirname(place))) throw noSuchFile();
  const events = written(sandbox, place, 'directory');
  sandbox.folders.add(place);
  tellWatches(sandbox, ...events);
  return { entries: 1 };
}

/** All files and folders at or below a path. */
function contentOf({ files, folders }: MockSandbox, place: string) {
  const isPart = (path: string): boolean => path === place || isBelow(path, place);
  return { files: [...files.keys()].filter(isPart), folders: [...folders].filter(isPart) };
}

function checkTarget(sandbox: MockSandbox, from: string, to: string, overwrite: boolean): void {
  const [moved, there] = [typeAt(sandbox, from), typeAt(sandbox, to)];
  if (moved === 'directory' && isBelow(to, from)) throw refuse('into_itself', 'a folder cannot be moved below itself');
  if (!typeAt(sandbox, posix.dirname(to))) throw noSuchFile();
  if (!there) return;
  if (!overwrite) throw refuse('file_exists', 'something stands there already');
  if (moved === 'file' && there === 'directory') throw refuse('is_folder', 'it is a folder');
  if (moved === 'directory' && there === 'file') throw refuse('not_a_folder', 'it is not a folder');
  const { files, folders } = contentOf(sandbox, to);
  if (files.some((path) => path !== to) || folders.some((path) => path !== to))
    throw refuse('folder_not_empty', 'the folder is not empty');
}

/** Mounts of the mock are as the real ones: the home, and /tmp. */
const mountOf = (path: string): string => [HOME, '/tmp'].find((one) => path === one || isBelow(path, one)) ?? '/';

function movePath(sandbox: MockSandbox, path: string, target: string, overwrite: boolean): PathChanged {
  const [from, to] = [placeOf(sandbox, path), placeOf(sandbox, target)];
  const type = typeAt(sandbox, from);
  if (!type) throw noSuchFile();
  if (mountOf(from) !== mountOf(to)) throw refuse('crosses_mounts', 'the two paths are on different file systems');
  checkTarget(sandbox, from, to, overwrite);
  const above = posix.dirname(from);
  if (!MOUNTS.has(above)) sandbox.folders.add(above); // it stays when its last file goes
  const { files, folders } = contentOf(sandbox, from);
  const moved = (one: string): string => `${to}${one.slice(from.length)}`;
  const bytes = files.map((file) => [moved(file), sandbox.files.get(file) as Buffer] as const);
  for (const file of files) sandbox.files.delete(file);
  for (const folder of folders) sandbox.folders.delete(folder);
  for (const [file, content] of bytes) sandbox.files.set(file, content);
  for (const folder of folders) sandbox.folders.add(moved(folder));
  tellWatches(sandbox, { kind: 'moved', path: to, from, type });
  return { entries: 1 };
}

/** Folders that stand only because of a file below count, too. */
function foldersWithin(place: string, paths: string[]): number {
  const found = new Set<string>();
  for (const path of paths)
    for (let above = posix.dirname(path); above === place || isBelow(above, place); above = posix.dirname(above))
      found.add(above);
  return found.size;
}

function removePath(sandbox: MockSandbox, path: string, recursive: boolean): PathChanged {
  if (REMOVES_NO_ENTRY.has(posix.basename(path))) throw refuse('file_fault', 'the path names no entry of a directory');
  const place = placeOf(sandbox, path);
  const type = typeAt(sandbox, place);
  if (!type) throw noSuchFile();
  if (MOUNTS.has(place)) throw refuse('is_mount', 'a file system is mounted there');
  const { files, folders } = contentOf(sandbox, place);
  const isEmpty = files.length === 0 && folders.every((folder) => folder === place);
  if (type === 'directory' && !recursive && !isEmpty) throw refuse('folder_not_empty', 'the folder is not empty');
  const above = posix.dirname(place);
  const implied = foldersWithin(place, [...files, ...folders.map((folder) => `${folder}/.`)]);
  for (const file of files) sandbox.files.delete(file);
  for (const folder of folders) sandbox.folders.delete(folder);
  if (!MOUNTS.has(above)) sandbox.folders.add(above);
  tellWatches(sandbox, { kind: 'deleted', path: place, type });
  return { entries: files.length + implied };
}

/** `running` gives the sandbox, noting why it was used. */
export function pathCalls(running: (name: string, cause: string) => MockSandbox): PathCalls {
  const once = (name: string, id: string, change: (sandbox: MockSandbox) => PathChanged): PathChanged => {
    const sandbox = running(name, 'file_write');
    const known = sandbox.changes.get(id);
    if (known instanceof ProviderFault) throw known;
    if (known) return known;
    try {
      const made = change(sandbox);
      sandbox.changes.set(id, made);
      return made;
    } catch (fault) {
      sandbox.changes.set(id, fault as ProviderFault);
      throw fault;
    }
  };
  return {
    statPath: async (name, path, digest = false) => statusAt(running(name, 'file_read'), path, digest),
    makeFolder: async (name, { change_id: id, path, parents }) =>
      once(name, id, (sandbox) => makeFolder(sandbox, path, parents)),
    movePath: async (name, { change_id: id, path, to, overwrite }) =>
      once(name, id, (sandbox) => movePath(sandbox, path, to, overwrite)),
    removePath: async (name, { change_id: id, path, recursive }) =>
      once(name, id, (sandbox) => removePath(sandbox, path, recursive)),
  };
}
