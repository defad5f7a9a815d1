/**
 * Files between here and a sandbox.
 * Promise: bytes stream both ways; nothing is written here outside the folder that was named.
 */
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import type { UploadBody } from '@tallystick/surface/client';
import { create as packTar, extract as unpackTar } from 'tar';
import { type Keyed, keyOf } from './ids.ts';
import type { Link, UploadedFile } from './services.ts';

/** What can be uploaded. A stream can be sent once only: a lost connection is then an error instead of a repeat. */
export type Source = Uint8Array | string | { file: string } | AsyncIterable<Uint8Array>;

export interface TreeProgress {
  /** Bytes of the files that have passed so far. */
  onProgress?: (progress: { bytes: number }) => void;
}

/** What a tree holds, whatever it travels in. */
export interface TreeContent {
  /** Of all files together. */
  bytes: number;
  files: number;
}

/** @internal */
export function uploadBytes(
  link: Link,
  id: string,
  { path, content, unpack }: { path: string; content: Source; unpack: boolean },
  options?: Keyed,
): Promise<UploadedFile> {
  return link.upload({ id, path, unpack }, bodyOf(content), keyOf(options));
}

/** A file is opened anew for every attempt. */
function bodyOf(content: Source): UploadBody {
  if (typeof content === 'string') return Buffer.from(content);
  if (content instanceof Uint8Array) return content;
  if ('file' in content) return () => createReadStream(content.file);
  return ReadableStream.from(content);
}

/** @internal */
export async function uploadTree(
  link: Link,
  id: string,
  { fromFolder, toFolder }: { fromFolder: string; toFolder: string },
  { onProgress, ...options }: Keyed & TreeProgress,
): Promise<UploadedFile & { content: TreeContent }> {
  if (!(await stat(fromFolder)).isDirectory()) throw new TypeError(`${fromFolder} is no folder`);
  let content: TreeContent = { bytes: 0, files: 0 };
  const open = (): AsyncIterable<Uint8Array> => {
    content = { bytes: 0, files: 0 };
    return packFolder(fromFolder, counter(content, onProgress));
  };
  const sent = await link.upload({ id, path: toFolder, unpack: true }, open, keyOf(options));
  return Object.assign(sent, { content });
}

/** An entry as it is packed or unpacked. */
interface TreeEntry {
  type?: string | undefined;
  size?: number | undefined;
  stat?: { size: number } | undefined;
}

type Count = (entry: TreeEntry) => void;

/** A second name of a file is a file without bytes. */
function counter(content: TreeContent, onProgress: TreeProgress['onProgress']): Count {
  return ({ type, stat: status, size = status?.size ?? 0 }) => {
    if (type === 'Directory' || type === 'SymbolicLink') return;
    content.files += 1;
    if (type !== 'Link') content.bytes += size;
    onProgress?.({ bytes: content.bytes });
  };
}

/** Portable headers leave out who owned the files here. */
const packFolder = (folder: string, count: Count): AsyncIterable<Uint8Array> =>
  packTar({ cwd: folder, portable: true, preservePaths: false, onWriteEntry: count }, [
    '.',
  ]) as unknown as AsyncIterable<Uint8Array>;

/** @internal */
export const downloadBytes = (
  link: Link,
  id: string,
  from: { path: string; pack: boolean; offset?: bigint; length?: bigint },
  signal?: AbortSignal,
): AsyncIterable<Uint8Array> => link.download({ id, ...from }, signal);

/** @internal */
export async function downloadTree(
  link: Link,
  id: string,
  { fromFolder, toFolder }: { fromFolder: string; toFolder: string },
  { onProgress }: TreeProgress,
): Promise<TreeContent> {
  const bytes = downloadBytes(link, id, { path: fromFolder, pack: true });
  const content: TreeContent = { bytes: 0, files: 0 };
  await mkdir(toFolder, { recursive: true });
  await unpackInto(toFolder, bytes, counter(content, onProgress));
  return content;
}

/** What the tenant packed is hostile: no devices, no owner, no path or link that leads outside. @internal */
export async function unpackInto(
  folder: string,
  source: AsyncIterable<Uint8Array>,
  count: Count = () => undefined,
): Promise<void> {
  const unpack = unpackTar({
    cwd: folder,
    strict: true,
    preserveOwner: false,
    preservePaths: false,
    filter: isPlainEntry,
    onReadEntry: count,
  });
  const done = new Promise<void>((resolve, reject) => {
    unpack.on('error', reject);
    unpack.on('close', resolve);
  });
  const fed = (async () => {
    for await (const { buffer, byteOffset, length } of source) {
      if (!unpack.write(Buffer.from(buffer, byteOffset, length))) await Promise.race([once(unpack, 'drain'), done]);
    }
    unpack.end();
    await done;
  })();
  await Promise.all([done, fed]);
}

/** Devices, pipes and links that lead out are left out. */
function isPlainEntry(path: string, entry: object): boolean {
  const { type, linkpath } = entry as { type?: string; linkpath?: string };
  if (type === 'Link') return !climbs(linkpath ?? '', 0);
  if (type === 'SymbolicLink') return !climbs(linkpath ?? '', depthOf(path));
  return type === undefined || PLAIN_TYPES.has(type);
}

const PLAIN_TYPES: ReadonlySet<string> = new Set(['File', 'OldFile', 'ContiguousFile', 'Directory']);
const stepsOf = (path: string): string[] => path.split('/').filter((step) => step !== '' && step !== '.');
const depthOf = (path: string): number => Math.max(0, stepsOf(path).length - 1);

/** Leads above the folder, or climbs after having gone down, where another link may stand. @internal */
export function climbs(target: string, depth: number): boolean {
  if (target.startsWith('/')) return true;
  const steps = stepsOf(target);
  const up = steps.findIndex((step) => step !== '..');
  const leading = up === -1 ? steps.length : up;
  return leading > depth || steps.slice(leading).includes('..');
}
