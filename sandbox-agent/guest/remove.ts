/**
 * Removes a file, a link, or a directory with everything below it.
 * Promise: every step goes from an open directory, so a link that is swapped in meanwhile is removed and never followed; no
 * other file system is entered.
 */
import {
  closeSync,
  constants as fsConstants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  rmdirSync,
  unlinkSync,
} from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Work } from './exec.ts';
import { type Done, faultBody, NOTHING } from './files.ts';
import { Kind } from './frame.ts';
import type { Send } from './outflow.ts';
import { bareOf, codeFault } from './paths.ts';

/** Directories within directories; each holds a descriptor open. */
export const REMOVE_DEPTH_MAX = 256;
/** Between two turns of the loop, so that the other calls of this guest go on. */
const ENTRIES_PER_TURN = 256;
/** How often something that changes its kind under our hands is looked at again. */
const SWAPS_MAX = 100;
const OPEN_DIRECTORY = fsConstants.O_RDONLY | fsConstants.O_DIRECTORY | fsConstants.O_NOFOLLOW;
const SLASH = Buffer.from('/');

/** An open directory on the way down. Names are bytes: not every name is text. */
interface Level {
  fd: number;
  /** Its path by descriptor. */
  at: Buffer;
  /** Its name in the level above. */
  name: Buffer;
  names: Buffer[];
}

const atOf = (fd: number): Buffer => Buffer.from(`/proc/self/fd/${fd}`);
const below = (level: Pick<Level, 'at'>, name: Buffer): Buffer => Buffer.concat([level.at, SLASH, name]);
const codeOf = (fault: unknown): string | undefined => (fault as NodeJS.ErrnoException).code;

function openLevel(path: Buffer, name: Buffer, device: number): Level {
  const fd = openSync(path, OPEN_DIRECTORY);
  try {
    if (fstatSync(fd).dev !== device) throw codeFault('EBUSY', 'another file system is mounted there');
    return { fd, at: atOf(fd), name, names: readdirSync(atOf(fd), { encoding: 'buffer' }) };
  } catch (fault) {
    closeSync(fd);
    throw fault;
  }
}

class Removal {
  readonly #levels: Level[] = [];
  readonly #device: number;
  #swaps = 0;
  entries = 0;

  constructor(parent: Level, name: Buffer, device: number) {
    this.#device = device;
    this.#levels.push(parent);
    this.#enter(parent, name);
  }

  #enter(from: Level, name: Buffer): void {
    if (this.#levels.length > REMOVE_DEPTH_MAX)
      throw codeFault('too_deep', `more than ${REMOVE_DEPTH_MAX} directories within each other`);
    this.#levels.push(openLevel(below(from, name), name, this.#device));
  }

  /** Removes one entry, or goes one level down or up; false when all is done. */
  step(): boolean {
    const level = this.#levels.at(-1) as Level;
    const name = level.names.pop();
    if (name !== undefined) this.#take(level, name);
    else this.#leave();
    return this.#levels.length > 1;
  }

  #leave(): void {
    const { fd, name } = this.#levels.pop() as Level;
    closeSync(fd);
    rmdirSync(below(this.#levels.at(-1) as Level, name));
    this.entries += 1;
  }

  #take(level: Level, name: Buffer): void {
    try {
      unlinkSync(below(level, name));
      this.entries += 1;
    } catch (fault) {
      if (codeOf(fault) === 'ENOENT') return;
      if (codeOf(fault) !== 'EISDIR' && codeOf(fault) !== 'EPERM') throw fault;
      this.#descend(level, name);
    }
  }

  /** It was a directory a moment ago; when it is none any more it is looked at again. */
  #descend(level: Level, name: Buffer): void {
    try {
      this.#enter(level, name);
    } catch (fault) {
      const isSwapped = ['ENOTDIR', 'ELOOP', 'ENOENT'].includes(codeOf(fault) ?? '');
      this.#swaps += 1;
      if (!isSwapped || this.#swaps > SWAPS_MAX) throw fault;
      level.names.push(name);
    }
  }

  close(): void {
    for (const { fd } of this.#levels.splice(0)) closeSync(fd);
  }
}

/** @errors throws when the path names no entry of a directory */
function openParent(path: string): { parent: Level; name: Buffer } {
  const bare = bareOf(path);
  const name = basename(bare);
  if (name === '' || name === '.' || name === '..') throw codeFault('EINVAL', 'the path names no entry of a directory');
  const fd = openSync(dirname(bare), fsConstants.O_RDONLY | fsConstants.O_DIRECTORY);
  return { parent: { fd, at: atOf(fd), name: Buffer.alloc(0), names: [] }, name: Buffer.from(name) };
}

/** Works in turns until all is gone or something refuses. */
function run(removal: Removal, done: Done): Work {
  let isOver = false;
  const finish = (kind: Kind, body: object): void => {
    isOver = true;
    removal.close();
    done(kind, body);
  };
  const turn = (): void => {
    if (isOver) return;
    try {
      let count = 0;
      while (count < ENTRIES_PER_TURN && removal.step()) count += 1;
      if (count < ENTRIES_PER_TURN) finish(Kind.end, { entries: removal.entries });
      else setImmediate(turn);
    } catch (fault) {
      finish(Kind.fault, faultBody(fault));
    }
  };
  setImmediate(turn);
  const cancel = (): void => {
    isOver = true;
    removal.close();
  };
  return { ...NOTHING, cancel };
}

/** Without `recursive` a directory must be empty. */
export function startRemove({ path, recursive }: { path: string; recursive: boolean }, _send: Send, done: Done): Work {
  const { parent, name } = openParent(path);
  try {
    const status = lstatSync(below(parent, name));
    if (status.isDirectory() && recursive) {
      if (status.dev !== fstatSync(parent.fd).dev) throw codeFault('EBUSY', 'a file system is mounted there');
      return run(new Removal(parent, name, status.dev), done);
    }
    if (status.isDirectory()) rmdirSync(below(parent, name));
    else unlinkSync(below(parent, name));
  } catch (fault) {
    closeSync(parent.fd);
    throw fault;
  }
  closeSync(parent.fd);
  done(Kind.end, { entries: 1 });
  return NOTHING;
}
