/**
 * What makes the development chain outlive its process: every transaction, with the time of its block.
 * Promise: on disk before anybody is answered; a half-written last line is what nobody was answered.
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** One block: its time, and the raw transaction it holds; without one it is empty. */
export interface JournalEntry {
  timeS: number;
  raw?: string;
}

/** What a chain begins with. */
export interface Genesis {
  /** Seconds since 1970. */
  timeS: number;
  /** An address that nobody has the key of: no two chains begin alike, so one that was reset is another one. */
  mark: string;
}

interface Head {
  version: number;
  genesis: Genesis;
}

const VERSION = 1;
/** The journal is replayed at every start, about a millisecond each. */
export const JOURNAL_ENTRIES_MAX = 200_000;

export class Journal implements Disposable {
  readonly genesis: Genesis;
  readonly past: readonly JournalEntry[];
  #entries: number;
  readonly #fd: number;

  /** @errors throws when the file is of a version that this program does not know, or damaged before its last line */
  constructor(file: string, fresh: Genesis) {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    const { head, entries, soundBytes } = readJournal(file);
    if (soundBytes !== undefined) truncateSync(file, soundBytes);
    this.#fd = openSync(file, 'a', 0o600);
    this.genesis = head?.genesis ?? fresh;
    if (!head) this.#write({ version: VERSION, genesis: fresh });
    this.past = entries;
    this.#entries = entries.length;
  }

  /** @errors throws when the journal is full: the message names the cap */
  append(entry: JournalEntry): void {
    if (this.#entries >= JOURNAL_ENTRIES_MAX)
      throw new Error(`the development chain keeps ${JOURNAL_ENTRIES_MAX} blocks: start with a new data folder`);
    this.#entries += 1;
    this.#write(entry);
  }

  get isHalfFull(): boolean {
    return this.#entries >= JOURNAL_ENTRIES_MAX / 2;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  #write(value: Head | JournalEntry): void {
    writeSync(this.#fd, `${JSON.stringify(value)}\n`);
    fsyncSync(this.#fd);
  }
}

interface Found {
  head: Head | undefined;
  entries: JournalEntry[];
  /** Where the last whole line ends; undefined without a file. */
  soundBytes: number | undefined;
}

function readJournal(file: string): Found {
  if (!existsSync(file)) return { head: undefined, entries: [], soundBytes: undefined };
  const text = readFileSync(file, 'utf8');
  const sound = text.slice(0, text.lastIndexOf('\n') + 1);
  const [first, ...rest] = sound.split('\n').filter((line) => line !== '');
  const soundBytes = Buffer.byteLength(sound);
  if (first === undefined) return { head: undefined, entries: [], soundBytes };
  const head = JSON.parse(first) as Head;
  if (head.version !== VERSION) throw new Error(`${file} has version ${head.version}; this program knows ${VERSION}`);
  return { head, entries: rest.map((line) => JSON.parse(line) as JournalEntry), soundBytes };
}
