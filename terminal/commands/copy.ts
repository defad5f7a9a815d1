/**
 * `tally cp` and `tally ls`: files between here and a sandbox.
 * Promise: a file arrives whole or not at all; folders travel as one tar stream.
 */
import { stat } from 'node:fs/promises';
import { basename, join, posix, resolve } from 'node:path';
import { plain, type Sandbox, type Tally, UploadedFileSchema, writeWhole } from '@tallystick/sdk';
import { Argument, type Command } from 'commander';
import { type Io, write } from '../io.ts';
import type { Out } from '../output/out.ts';
import type { Column, PlainObject } from '../output/render.ts';
import { parsePlace } from '../text/place.ts';
import { UsageError } from '../text/usage-error.ts';
import { addCommand, given, onRun, type World, withKey } from './command.ts';

const COLUMNS: Column[] = [
  { field: 'mode_text', heading: 'MODE' },
  { field: 'bytes', heading: 'BYTES' },
  { field: 'modified_at', heading: 'MODIFIED' },
  { field: 'name', heading: 'NAME' },
];
const PROGRESS_EVERY_MS = 200;
const MIB = 1024 * 1024;

export function addCopyCommands(program: Command, world: World): void {
  const copy = addCommand(program, {
    usage: 'cp',
    summary: 'copy a file or a folder to or from a sandbox',
    examples: [
      'tally cp audit.mjs sbx_0192…:audit.mjs',
      'tally cp node_modules sbx_0192…:input',
      'tally cp sbx_0192…:report.json .',
    ],
  })
    .argument('<source>', 'a path here, or sbx_…:path')
    .argument('<target>', 'the other side');
  onRun<{ key?: string }>(world, withKey(copy), async ({ io, out, connect }, [source, target], { key }) => {
    const [from, to] = [parsePlace(source!), parsePlace(target!)];
    if (from.kind === to.kind)
      throw new UsageError('One side must be a sandbox, the other a path here.', 'Write sbx_…:path on one side.');
    const tally = await connect();
    if (from.kind === 'here' && to.kind === 'sandbox')
      return upload(io, out, tally, resolve(io.folder, from.path), to, given({ key }));
    if (from.kind === 'sandbox' && to.kind === 'here')
      return download(io, out, tally, from, resolve(io.folder, to.path));
  });
  addList(program, world);
}

interface Remote {
  sandboxId: string;
  path: string;
}

async function upload(
  io: Io,
  out: Out,
  tally: Tally,
  here: string,
  to: Remote,
  options: { key?: string },
): Promise<void> {
  const sandbox = tally.sandboxes.attach(to.sandboxId);
  const progress = progressOf(io);
  if (!(await stat(here)).isDirectory()) {
    const sent = await sandbox.upload(intoFolder(to.path, basename(here)), { file: here }, options);
    return out.say(plain(UploadedFileSchema, sent), `${sent.bytes} bytes to ${to.sandboxId}:${sent.path}`);
  }
  const path = to.path || basename(here);
  const sent = await sandbox.uploadTree(here, path, { ...options, onProgress: progress.show });
  progress.clear();
  const { bytes, files } = sent.content;
  const told = { ...plain(UploadedFileSchema, sent), content_bytes: bytes, files };
  await out.say(told, `${bytes} bytes in ${filesText(files)} to ${to.sandboxId}:${path}`);
}

const filesText = (files: number): string => `${files} ${files === 1 ? 'file' : 'files'}`;

/** `sbx:` and `sbx:folder/` name the folder; the file keeps its name. */
const intoFolder = (path: string, name: string): string =>
  path === '' || path.endsWith('/') ? `${path}${name}` : path;

async function download(io: Io, out: Out, tally: Tally, from: Remote, here: string): Promise<void> {
  if (from.path === '') throw new UsageError('Which file?', `Write ${from.sandboxId}:path.`);
  const sandbox = tally.sandboxes.attach(from.sandboxId);
  const target = (await isFolder(here)) ? join(here, localName(from.path)) : here;
  const progress = progressOf(io);
  if (await isRemoteFolder(sandbox, from.path)) {
    const { bytes, files } = await sandbox.downloadTree(from.path, target, { onProgress: progress.show });
    progress.clear();
    const told = { path: target, content_bytes: bytes, files };
    return out.say(told, `${bytes} bytes in ${filesText(files)} to ${target}`);
  }
  const bytes = await writeWhole(target, sandbox.download(from.path));
  progress.clear();
  return out.say({ path: target, bytes }, `${bytes} bytes to ${target}`);
}

/** The last step of the path there, which must be a name here. */
function localName(path: string): string {
  const name = posix.basename(posix.normalize(path));
  if (name === '' || name === '.' || name === '..' || name === '/')
    throw new UsageError(`${path} has no name to keep.`, 'Name the target file or folder.');
  return name;
}

async function isFolder(path: string): Promise<boolean> {
  const status = await stat(path).catch((fault: NodeJS.ErrnoException) => {
    if (fault.code === 'ENOENT') return undefined;
    throw fault;
  });
  return status?.isDirectory() ?? false;
}

/** Asks the folder above what the name is. */
async function isRemoteFolder(sandbox: Sandbox, path: string): Promise<boolean> {
  const clean = posix.normalize(path).replace(/\/$/, '');
  const name = posix.basename(clean);
  if (path.endsWith('/') || name === '' || name === '.' || name === '..') return true;
  const above = posix.dirname(clean);
  const { entries } = await sandbox.list(above === '.' ? '' : above);
  return entries.find((entry) => entry.name === name)?.type === 'directory';
}

/** A line on standard error that is written over, on a terminal only. */
function progressOf(io: Io): { show: (progress: { bytes: number }) => void; clear: () => void } {
  if (!io.stderr.isTTY) return { show: () => undefined, clear: () => undefined };
  let lastMs = 0;
  return {
    show: ({ bytes }) => {
      const nowMs = io.nowMs();
      if (nowMs - lastMs < PROGRESS_EVERY_MS) return;
      lastMs = nowMs;
      io.stderr.write(`\r\x1b[K${(bytes / MIB).toFixed(1)} MiB`);
    },
    clear: () => void write(io.stderr, '\r\x1b[K'),
  };
}

function addList(program: Command, world: World): void {
  const list = addCommand(program, {
    usage: 'ls',
    summary: 'list a folder of a sandbox',
    examples: ['tally ls sbx_0192…:', 'tally ls sbx_0192…:input --json'],
  }).addArgument(new Argument('<place>', 'sbx_…:path; an empty path is the home directory'));
  onRun(world, list, async ({ out, connect }, [text]) => {
    const place = parsePlace(text!.includes(':') ? text! : `${text}:`);
    if (place.kind !== 'sandbox') throw new UsageError(`${text} is no place in a sandbox.`, 'Write sbx_…:path.');
    await listFolder(out, (await connect()).sandboxes.attach(place.sandboxId), place.path);
  });
}

/** What a folder holds, as a table. */
export async function listFolder(out: Out, sandbox: Sandbox, path: string): Promise<void> {
  const { entries, truncated } = await sandbox.list(path);
  await out.list('entries', entries.map(entryRow), COLUMNS);
  if (truncated) await out.note('more entries exist than are listed');
}

const TYPE_LETTERS: Record<string, string> = { directory: 'd', link: 'l', file: '-' };

function entryRow({
  name,
  type,
  bytes,
  mode,
  modifiedAt,
}: Awaited<ReturnType<Sandbox['list']>>['entries'][number]): PlainObject {
  const modified = modifiedAt ? new Date(Number(modifiedAt.seconds) * 1000).toISOString() : null;
  const modeText = `${TYPE_LETTERS[type] ?? '?'}${(mode & 0o7777).toString(8).padStart(4, '0')}`;
  return { name, type, bytes: Number(bytes), mode, mode_text: modeText, modified_at: modified };
}
