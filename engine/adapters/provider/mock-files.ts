/**
 * Files of the mock's sandboxes: a map of absolute path to bytes, under the disk quota.
 * Promise: a refused put changes nothing.
 */
import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { noSuchFile, placeOf, typeAt } from './mock-places.ts';
import { HOME, type MockSandbox } from './mock-sandbox.ts';
import { packTar, unpackTar } from './mock-tar.ts';
import { tellWatches, written } from './mock-watch.ts';
import { type Body, type FactValue, type Provider, ProviderFault } from './port.ts';

const refuse = (code: string, detail: string, facts?: Record<string, FactValue>): ProviderFault =>
  new ProviderFault('refused', code, detail, facts);

/** An absolute path; a relative one begins at `folder`. */
export const at = (folder: string, path: string): string => posix.resolve(folder, path);

async function bytesOf(body: Body): Promise<Buffer> {
  if (body instanceof Uint8Array) return Buffer.from(body);
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const withinOf = (sandbox: MockSandbox, folder: string): [name: string, bytes: Buffer][] =>
  [...sandbox.files]
    .filter(([path]) => path.startsWith(`${folder}/`))
    .map(([path, bytes]) => [path.slice(folder.length + 1), bytes]);

function entriesOf(sandbox: MockSandbox, folder: string) {
  const entries = new Map<
    string,
    { name: string; type: 'file' | 'directory'; bytes: number; mode: number; modified_us: number }
  >();
  for (const [path, bytes] of withinOf(sandbox, folder)) {
    const [name = '', ...rest] = path.split('/');
    const isFile = rest.length === 0;
    entries.set(name, {
      name,
      type: isFile ? 'file' : 'directory',
      bytes: isFile ? bytes.length : 0,
      mode: 0o644,
      modified_us: 0,
    });
  }
  for (const path of sandbox.folders) {
    const [name = '', ...rest] = path.startsWith(`${folder}/`) ? path.slice(folder.length + 1).split('/') : [];
    const isKnown = name === '' || entries.has(name);
    const mode = rest.length === 0 ? 0o755 : 0o644;
    if (!isKnown) entries.set(name, { name, type: 'directory', bytes: 0, mode, modified_us: 0 });
  }
  return [...entries.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function put(sandbox: MockSandbox, files: [path: string, bytes: Buffer][]): void {
  for (const [path] of files) {
    placeOf(sandbox, path);
    if (typeAt(sandbox, path) === 'directory') throw refuse('is_folder', 'it is a folder');
  }
  const replaced = new Set(files.map(([path]) => path));
  const others = [...sandbox.files].filter(([path]) => !replaced.has(path));
  const cap = sandbox.spec.disk_mib << 20;
  const sizeOf = (some: [string, Buffer][]): number => some.reduce((sum, [, bytes]) => sum + bytes.length, 0);
  const [asked, available] = [sizeOf(files), cap - sizeOf(others)];
  if (asked > available) {
    const facts = { cap_bytes: cap, asked_bytes: asked, available_bytes: available };
    throw refuse('quota_full', 'the disk quota is full', facts);
  }
  for (const [path, bytes] of files) {
    const events = written(sandbox, path, 'file');
    sandbox.files.set(path, bytes);
    tellWatches(sandbox, ...events);
  }
}

/** `running` gives the sandbox, noting why it was used. @errors throws ProviderFault when it does not run. */
export function fileCalls(running: (name: string, cause: string) => MockSandbox) {
  return {
    putFile: async (name, path, body, expected) => {
      const bytes = await bytesOf(body);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      if (expected !== undefined && expected !== sha256) {
        throw refuse('checksum_mismatch', 'the bytes that came are not those that were announced', {
          expected,
          sha256,
        });
      }
      put(running(name, 'file_write'), [[at(HOME, path), bytes]]);
      return { bytes: bytes.length, sha256 };
    },
    putTree: async (name, path, body) => {
      const archive = await bytesOf(body);
      const files = unpackTar(archive).map(([file, bytes]): [string, Buffer] => [at(at(HOME, path), file), bytes]);
      put(running(name, 'file_write'), files);
      return { bytes: archive.length };
    },
    getFile: async (name, path, range) => {
      const sandbox = running(name, 'file_read');
      const bytes = sandbox.files.get(placeOf(sandbox, path));
      if (!bytes && typeAt(sandbox, at(HOME, path))) throw refuse('is_folder', 'it is a folder');
      if (!bytes) throw noSuchFile();
      return Readable.from([
        range ? bytes.subarray(range.start, range.end === undefined ? undefined : range.end + 1) : bytes,
      ]);
    },
    getTree: async (name, path) => {
      const files = withinOf(running(name, 'file_read'), at(HOME, path));
      return Readable.from([packTar(files.map(([file, bytes]) => [`./${file}`, bytes]))]);
    },
    listFiles: async (name, path) => {
      const sandbox = running(name, 'file_read');
      const folder = placeOf(sandbox, path);
      const type = typeAt(sandbox, folder);
      if (!type) throw noSuchFile();
      if (type === 'file') throw refuse('not_a_folder', 'it is not a folder');
      const entries = entriesOf(sandbox, folder);
      return { entries, truncated: false };
    },
  } satisfies Partial<Provider>;
}
