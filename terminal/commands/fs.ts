/**
 * `tally fs`: the files of a sandbox by their paths.
 * Promise: what the sandbox's own user may not do is told in one word with its path; links are never followed by a removal.
 */
import { type FileEvent, PathChangeSchema, PathStatusSchema, plain, type Sandbox } from '@tallystick/sdk';
import { Argument, type Command } from 'commander';
import { write } from '../io.ts';
import { printable } from '../output/render.ts';
import { addCommand, count, given, idOf, onRun, type Run, type World, withKey } from './command.ts';
import { listFolder } from './copy.ts';

const PATH_HELP = 'absolute, or relative to the home directory';
const POSITION_MAX = Number.MAX_SAFE_INTEGER;

const withSandbox = (command: Command): Command =>
  command.addArgument(new Argument('<sandbox>', 'id of the sandbox: sbx_…').argParser(idOf('sbx')));
const withPath = (command: Command): Command => withSandbox(command).argument('<path>', PATH_HELP);

export function addFsCommands(program: Command, world: World): void {
  const fs = program
    .command('fs')
    .summary('look at, make, move and remove files of a sandbox')
    .description('Files of a sandbox by their paths. `tally cp` copies them from here and to here.');
  addLook(fs, world);
  addCat(fs, world);
  addChanges(fs, world);
  addWatch(fs, world);
}

const sandboxOf = async ({ connect }: Run, id: string | undefined): Promise<Sandbox> =>
  (await connect()).sandboxes.attach(id!);

function addLook(fs: Command, world: World): void {
  const list = addCommand(fs, {
    usage: 'ls',
    summary: 'list a directory',
    examples: ['tally fs ls sbx_0192…', 'tally fs ls sbx_0192… /tmp'],
  });
  withSandbox(list).argument('[path]', `${PATH_HELP}; absent: the home directory`);
  onRun(world, list, async (run, [id, path = '']) => listFolder(run.out, await sandboxOf(run, id), path));

  const stat = addCommand(fs, {
    usage: 'stat',
    summary: 'say what stands at a path',
    examples: ['tally fs stat sbx_0192… report.json --digest'],
  });
  withPath(stat).option('--digest', 'also tell the SHA-256 of a file');
  onRun<{ digest?: boolean }>(world, stat, async (run, [id, path], { digest }) => {
    const told = await (await sandboxOf(run, id)).files.stat(path!, given({ digest }));
    await run.out.record(plain(PathStatusSchema, told));
  });
}

interface Part {
  offset?: number;
  length?: number;
}

function addCat(fs: Command, world: World): void {
  const cat = addCommand(fs, {
    usage: 'cat',
    summary: 'print a file, or a part of it; with --json as base64',
    examples: ['tally fs cat sbx_0192… notes.txt', 'tally fs cat sbx_0192… log --offset 1000 --length 500'],
  });
  withPath(cat)
    .option('--offset <bytes>', 'begin at this byte (default: the first)', count(0, POSITION_MAX))
    .option('--length <bytes>', 'print at most this many (default: up to the end)', count(1, POSITION_MAX));
  onRun<Part>(world, cat, async (run, [id, path], { offset, length }) => {
    const bytes = (await sandboxOf(run, id)).files.read(path!, given({ offset, length }));
    if (!run.out.isJson) {
      for await (const piece of bytes) await write(run.io.stdout, piece);
      return;
    }
    const whole = Buffer.concat(await Array.fromAsync(bytes));
    await run.out.record({ path: path!, bytes: whole.length, content_base64: whole.toString('base64') });
  });
}

function addChanges(fs: Command, world: World): void {
  const mkdir = addCommand(fs, {
    usage: 'mkdir',
    summary: 'make a directory',
    examples: ['tally fs mkdir sbx_0192… input', 'tally fs mkdir sbx_0192… a/b/c --parents'],
  });
  withKey(withPath(mkdir)).option('-p, --parents', 'also those above; one that exists is not an error');
  onRun<{ parents?: boolean; key?: string }>(world, mkdir, async (run, [id, path], { parents, key }) => {
    const made = await (await sandboxOf(run, id)).files.mkdir(path!, given({ parents, key }));
    const words = made.entries === 0n ? `${path} was there already` : `made ${path}`;
    await run.out.say(plain(PathChangeSchema, made), words);
  });

  const move = addCommand(fs, {
    usage: 'mv',
    summary: 'give a file or directory another path, at once or not at all',
    examples: ['tally fs mv sbx_0192… draft.md final.md --overwrite'],
  });
  withKey(withPath(move))
    .argument('<target>', 'the new path itself, never a directory to move into')
    .option('--overwrite', 'take the place of what stands there');
  onRun<{ overwrite?: boolean; key?: string }>(world, move, async (run, [id, path, target], { overwrite, key }) => {
    const moved = await (await sandboxOf(run, id)).files.move(path!, target!, given({ overwrite, key }));
    await run.out.say(plain(PathChangeSchema, moved), `moved ${path} to ${target}`);
  });

  const remove = addCommand(fs, {
    usage: 'rm',
    summary: 'remove a file, a link or a directory',
    examples: ['tally fs rm sbx_0192… old.txt', 'tally fs rm sbx_0192… build --recursive'],
  });
  withKey(withPath(remove)).option('-r, --recursive', 'of a directory: with everything below it');
  onRun<{ recursive?: boolean; key?: string }>(world, remove, async (run, [id, path], { recursive, key }) => {
    const removed = await (await sandboxOf(run, id)).files.remove(path!, given({ recursive, key }));
    const count = Number(removed.entries);
    await run.out.say(plain(PathChangeSchema, removed), `removed ${path}${count > 1 ? ` (${count} entries)` : ''}`);
  });
}

interface WatchWishes {
  recursive?: boolean;
  max?: number;
}

function addWatch(fs: Command, world: World): void {
  const watch = addCommand(fs, {
    usage: 'watch',
    summary: 'tell what becomes of files below a directory, until interrupted',
    examples: ['tally fs watch sbx_0192… src --recursive', 'tally fs watch sbx_0192… . --json --max 10'],
  });
  withPath(watch)
    .option('-r, --recursive', "also everything below; otherwise the directory's own names")
    .option('--max <count>', 'end after this many events', count(1, 1_000_000_000));
  onRun<WatchWishes>(world, watch, followFiles);
}

async function followFiles(run: Run, [id, path]: string[], { recursive, max }: WatchWishes): Promise<void> {
  const { io, out } = run;
  const { files } = await sandboxOf(run, id);
  const stop = new AbortController();
  const release = io.onInterrupt(() => stop.abort());
  try {
    const onReady = (): void => void out.note(`watching ${path}`);
    let seen = 0;
    for await (const event of files.watch(path!, { ...given({ recursive }), signal: stop.signal, onReady })) {
      await write(io.stdout, `${out.isJson ? JSON.stringify(event) : lineOf(event)}\n`);
      if (++seen === max) break;
    }
  } finally {
    release();
  }
}

function lineOf({ kind, path, from, reason }: FileEvent): string {
  const where = from === undefined ? path : `${from} -> ${path}`;
  return printable(`${kind.padEnd('modified'.length)}  ${where}${reason === undefined ? '' : `  (${reason})`}`);
}
