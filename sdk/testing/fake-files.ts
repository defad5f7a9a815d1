/**
 * Files of the fake platform: a map of path to bytes, and the paths that those imply.
 * Promise: what was unpacked is kept as its tar stream under its folder's name; permissions and links there are none.
 */
import { sha256Hex } from '@tallystick/kernel';
import { FileService, PathService } from '@tallystick/proto';
import { type Call, implement, refuse } from '@tallystick/surface';

const AT = { seconds: 1_790_000_000n, nanos: 0 };
const RECEIPT_ID = `rcp_${'4'.padStart(32, '0')}`;

type Changed = (method: string, call: Call) => void;

export function fakeFilesOf(files: Map<string, Buffer>, changed: Changed) {
  return implement(FileService, {
    uploadFile: async ({ id, path }, call) => {
      const bytes = Buffer.concat(await Array.fromAsync(call.body ?? []));
      changed(`upload ${path}`, call);
      files.set(path, bytes);
      return { sandboxId: id, path, bytes: BigInt(bytes.length), sha256: sha256Hex(bytes), receiptId: RECEIPT_ID };
    },
    downloadFile: ({ path, offset, length }) => {
      const bytes = files.get(path);
      if (!bytes) throw refuse('FILE_NOT_FOUND', { path, cause: 'no_such_file' });
      const start = Number(offset);
      const part = bytes.subarray(start, length === undefined ? undefined : start + Number(length));
      return {
        stream: (async function* () {
          yield part;
        })(),
      };
    },
    listFiles: () => ({
      entries: [...files].map(([name, bytes]) => ({
        name,
        type: name.includes('.') ? 'file' : 'directory',
        bytes: BigInt(bytes.length),
        mode: 0o644,
        modifiedAt: AT,
      })),
    }),
  });
}

export function fakePathsOf(files: Map<string, Buffer>, changed: Changed) {
  const below = (path: string): string[] =>
    [...files.keys()].filter((one) => one === path || one.startsWith(`${path}/`));
  const must = (path: string): string[] => {
    const found = below(path);
    if (found.length === 0) throw refuse('FILE_NOT_FOUND', { path, cause: 'no_such_file' });
    return found;
  };
  return implement(PathService, {
    statPath: ({ id, path, digest }) => {
      must(path);
      const bytes = files.get(path);
      const sha256 = digest && bytes ? sha256Hex(bytes) : '';
      const size = BigInt(bytes?.length ?? 0);
      const type = bytes ? 'file' : 'directory';
      return { sandboxId: id, path, type, bytes: size, mode: 0o644, modifiedAt: AT, sha256 };
    },
    makeDirectory: ({ id, path, parents }, call) => {
      const isThere = below(path).length > 0;
      if (isThere && !parents) throw refuse('FILE_EXISTS', { path, cause: 'file_exists' });
      changed(`makeDirectory ${path}`, call);
      if (!isThere) files.set(`${path}/.keep`, Buffer.alloc(0));
      return { sandboxId: id, path, entries: isThere ? 0n : 1n, receiptId: RECEIPT_ID };
    },
    movePath: ({ id, path, target, overwrite }, call) => {
      const moved = must(path);
      if (!overwrite && below(target).length > 0) throw refuse('FILE_EXISTS', { path: target, cause: 'file_exists' });
      changed(`movePath ${path} ${target}`, call);
      for (const one of moved) {
        files.set(`${target}${one.slice(path.length)}`, files.get(one)!);
        files.delete(one);
      }
      return { sandboxId: id, path, target, entries: 1n, receiptId: RECEIPT_ID };
    },
    removePath: ({ id, path, recursive }, call) => {
      const removed = must(path);
      if (!recursive && !files.has(path)) throw refuse('DIRECTORY_NOT_EMPTY', { path, cause: 'folder_not_empty' });
      changed(`removePath ${path}`, call);
      for (const one of removed) files.delete(one);
      return { sandboxId: id, path, entries: BigInt(removed.length), receiptId: RECEIPT_ID };
    },
  });
}
