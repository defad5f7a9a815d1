/**
 * The files of a sandbox by their paths: looked at, read in part, made, moved, removed.
 * Promise: a change that is repeated under its key happens once; nothing here guesses what the machine would say.
 */
import type { PathChange, PathStatus } from '@tallystick/proto';
import { downloadBytes, type Source, uploadBytes } from './files.ts';
import { type Asked, askedOf, type Keyed, keyOf } from './ids.ts';
import type { FileEntry, Link, UploadedFile } from './services.ts';
import { type FileEvent, type WatchOptions, watchFiles } from './watch.ts';

export interface ReadOptions extends Asked {
  /** First byte; absent: the file's first. One behind its end gives no bytes. */
  offset?: bigint | number;
  /** At most this many bytes; absent: up to the end. */
  length?: bigint | number;
}

/** Paths are absolute, or relative to the home directory. */
export interface SandboxFiles {
  /**
   * What stands at a path; a link is told as a link.
   * @errors ApiError `file_not_found`, `not_a_directory`, `file_refused`
   * @example const { type, bytes, sha256 } = await sandbox.files.stat('report.json', { digest: true });
   */
  stat(path: string, options?: Asked & { digest?: boolean }): Promise<PathStatus>;
  /** What a directory holds; absent: the home directory. */
  list(path?: string, options?: Asked): Promise<{ entries: FileEntry[]; truncated: boolean }>;
  /**
   * A file's bytes as they come, or a part of them.
   * @errors ApiError `file_not_found`, `is_a_directory`, `file_not_permitted`
   * @example for await (const bytes of sandbox.files.read('log', { offset: 1_000, length: 500 })) process.stdout.write(bytes);
   */
  read(path: string, options?: ReadOptions): AsyncIterable<Uint8Array>;
  /**
   * Writes one file, whole or not at all; the directories above are made.
   * @errors ApiError `no_space` with cap, asked and available; `file_not_permitted`
   */
  write(path: string, content: Source, options?: Keyed): Promise<UploadedFile>;
  /** @errors ApiError `file_exists`; `file_not_found` when the one above is missing and `parents` is not said */
  mkdir(path: string, options?: Keyed & { parents?: boolean }): Promise<PathChange>;
  /**
   * A rename: at once or not at all. `target` is the new path itself, never a directory to move into.
   * @errors ApiError `file_exists` unless `overwrite` is said, `crosses_mounts`, `directory_not_empty`
   */
  move(path: string, target: string, options?: Keyed & { overwrite?: boolean }): Promise<PathChange>;
  /**
   * A link is removed, never followed.
   * @errors ApiError `directory_not_empty` unless `recursive` is said
   */
  remove(path: string, options?: Keyed & { recursive?: boolean }): Promise<PathChange>;
  /**
   * What becomes of files below a directory, until the directory's end or the sandbox's. The signal ends it without an error.
   * @errors ApiError `file_not_found`, `not_a_directory`, `file_refused` with the cap that was passed; UnreachableError
   * @example for await (const { kind, path } of sandbox.files.watch('src', { recursive: true, signal })) console.log(kind, path);
   */
  watch(path: string, options?: WatchOptions): AsyncIterable<FileEvent>;
}

/** @internal */
export function filesOf(link: Link, id: string): SandboxFiles {
  const { files, paths } = link.services;
  return {
    stat: (path, { digest = false, ...asked } = {}) => paths.statPath({ id, path, digest }, askedOf(asked)),
    async list(path = '', options) {
      const { entries, truncated } = await files.listFiles({ id, path }, askedOf(options));
      return { entries, truncated };
    },
    read: (path, { offset = 0n, length, signal } = {}) => {
      const part = { offset: BigInt(offset), ...(length === undefined ? {} : { length: BigInt(length) }) };
      return downloadBytes(link, id, { path, pack: false, ...part }, signal);
    },
    write: (path, content, options) => uploadBytes(link, id, { path, content, unpack: false }, options),
    mkdir: (path, { parents = false, ...keyed } = {}) => paths.makeDirectory({ id, path, parents }, keyOf(keyed)),
    move: (path, target, { overwrite = false, ...keyed } = {}) =>
      paths.movePath({ id, path, target, overwrite }, keyOf(keyed)),
    remove: (path, { recursive = false, ...keyed } = {}) => paths.removePath({ id, path, recursive }, keyOf(keyed)),
    watch: (path, options) => watchFiles(link, id, path, options),
  };
}
