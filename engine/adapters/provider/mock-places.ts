/**
 * What stands where in the mock's sandboxes: files, and folders that were made or that files imply.
 * Promise: nothing here changes anything.
 */
import { posix } from 'node:path';
import { HOME, type MockSandbox } from './mock-sandbox.ts';
import { ProviderFault } from './port.ts';

const NAME_BYTES_MAX = 255;
export const MOUNTS: ReadonlySet<string> = new Set([HOME, '/tmp', '/']);

export const refuse = (code: string, detail: string): ProviderFault => new ProviderFault('refused', code, detail);
export const noSuchFile = (): ProviderFault => new ProviderFault('gone', 'no_such_file', 'no such file or folder');

export const isBelow = (path: string, folder: string): boolean => path.startsWith(folder === '/' ? '/' : `${folder}/`);

/** Undefined where nothing stands. */
export function typeAt({ files, folders }: MockSandbox, path: string): 'file' | 'directory' | undefined {
  if (files.has(path)) return 'file';
  if (MOUNTS.has(path) || folders.has(path)) return 'directory';
  return [...files.keys(), ...folders].some((other) => isBelow(other, path)) ? 'directory' : undefined;
}

/** An absolute path of which every step but the last is no file. @errors throws ProviderFault */
export function placeOf(sandbox: MockSandbox, path: string): string {
  if (path.includes('\0')) throw refuse('invalid', 'a path holds no NUL');
  const place = posix.resolve(HOME, path);
  for (let above = posix.dirname(place); above !== '/'; above = posix.dirname(above))
    if (sandbox.files.has(above)) throw refuse('not_a_folder', 'it is not a folder');
  if (place.split('/').some((name) => Buffer.byteLength(name) > NAME_BYTES_MAX))
    throw refuse('name_too_long', `a name has at most ${NAME_BYTES_MAX} bytes`);
  return place;
}
