/**
 * Intents in a folder, shared by all processes of one owner.
 * Promise: a change is on the disk before it counts, and counts only if nobody changed anything since it was decided; a process
 * that dies in the middle leaves what was there.
 */
import { randomBytes } from 'node:crypto';
import { chmod, link, mkdir, open, readdir, readFile, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CallName, originOf } from './call.ts';
import { type IntentStore, type PaymentIntent, withPut } from './intents.ts';

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
const OTHERS = 0o077;
const NAME = /^book-([0-9]{12})\.json$/;
const GENERATION_DIGITS = 12;
/** So many earlier books stay, so that who was slow meets them and not a gap. */
const BOOKS_KEPT = 16;
const TRIES_MAX = 200;
const PAUSE_MS_MAX = 20;
const FORGOTTEN_MS = 3_600_000;

interface Book {
  /** 0: there is none yet. */
  generation: number;
  intents: PaymentIntent[];
}

/** The folder of intents is not its owner's alone, or holds what cannot be read: nothing is paid by it. */
export class IntentsFault extends Error {
  readonly code = 'payments_unreadable';

  constructor(detail: string, options?: ErrorOptions) {
    super(detail, options);
    this.name = 'IntentsFault';
  }
}

const nameOf = (generation: number): string => `book-${String(generation).padStart(GENERATION_DIGITS, '0')}.json`;

/**
 * Every change is a new numbered book, which only one can make: a file cannot be linked to a name that is taken.
 * @param folder is made with mode 0700; a looser one is refused
 */
export function fileIntents(folder: string, nowMs: () => number = Date.now): IntentStore {
  return {
    read: async () => (await readNewest(folder)).intents,
    async change(decide) {
      for (let tries = 0; tries < TRIES_MAX; tries += 1) {
        const { generation, intents } = await readNewest(folder);
        const { put, answer } = await decide(intents);
        if (put.length === 0) return answer;
        const next = { generation: generation + 1, intents: withPut(intents, put, nowMs()) };
        if (await writeBook(folder, next)) return answer;
        await sleep(Math.random() * PAUSE_MS_MAX);
      }
      throw new IntentsFault(`${folder} was changed by others ${TRIES_MAX} times in a row`);
    },
  };
}

async function generationsIn(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch((fault: NodeJS.ErrnoException) => {
    if (fault.code === 'ENOENT') return [];
    throw fault;
  });
  return names
    .map((name) => Number(NAME.exec(name)?.[1] ?? Number.NaN))
    .filter((generation) => !Number.isNaN(generation))
    .sort((a, b) => a - b);
}

async function readNewest(folder: string): Promise<Book> {
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    const generation = (await generationsIn(folder)).at(-1);
    if (generation === undefined) return { generation: 0, intents: [] };
    await refuseLoose(folder);
    const text = await readFile(join(folder, nameOf(generation)), 'utf8').catch((fault: NodeJS.ErrnoException) => {
      if (fault.code === 'ENOENT') return undefined; // a newer one has taken its place
      throw fault;
    });
    if (text !== undefined) return { generation, intents: parseBook(join(folder, nameOf(generation)), text) };
  }
  throw new IntentsFault(`${folder} changes faster than it can be read`);
}

function parseBook(path: string, text: string): PaymentIntent[] {
  try {
    const { intents } = JSON.parse(text) as { intents: StoredIntent[] };
    if (Array.isArray(intents)) return intents.map(named);
  } catch (cause) {
    throw new IntentsFault(`${path} is not JSON`, { cause });
  }
  throw new IntentsFault(`${path} holds no intents`);
}

/** Earlier versions knew calls by their key, and kept the url only for people. */
type StoredIntent = Omit<PaymentIntent, keyof CallName> & Partial<CallName> & Pick<PaymentIntent, 'key' | 'call'>;

const named = (stored: StoredIntent): PaymentIntent =>
  ({ account: '', origin: originOf(stored.call.replace(/^\S+ /, '')), ...stored }) as PaymentIntent;

async function refuseLoose(folder: string): Promise<void> {
  if (process.getuid === undefined) return;
  const { uid, mode } = await stat(folder);
  if (uid !== process.getuid()) throw new IntentsFault(`${folder} belongs to another user`);
  if ((mode & OTHERS) !== 0) throw new IntentsFault(`${folder} can be read by others: chmod 700 ${folder}`);
}

/** Whether it is the newest book now. @errors rejects when it cannot be kept, e.g. ENOSPC */
async function writeBook(folder: string, book: Book): Promise<boolean> {
  if ((await mkdir(folder, { recursive: true, mode: FOLDER_MODE })) !== undefined) await chmod(folder, FOLDER_MODE);
  await refuseLoose(folder);
  const beside = join(folder, `${randomBytes(6).toString('hex')}.tmp`);
  const path = join(folder, nameOf(book.generation));
  try {
    await writeDurably(beside, `${JSON.stringify(book)}\n`);
    await link(beside, path);
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw fault;
  } finally {
    await unlink(beside).catch(() => undefined);
  }
  // linked into a gap that others left behind them: too late
  const isNewest = (await generationsIn(folder)).at(-1) === book.generation;
  if (!isNewest) await unlink(path).catch(() => undefined);
  else await settleFolder(folder, book.generation);
  return isNewest;
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', FILE_MODE);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The name is on the disk, and old books and what the dead left are gone. */
async function settleFolder(folder: string, generation: number): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
  for (const old of await generationsIn(folder))
    if (old <= generation - BOOKS_KEPT) await unlink(join(folder, nameOf(old))).catch(() => undefined);
  for (const name of await readdir(folder)) if (name.endsWith('.tmp')) await removeForgotten(join(folder, name));
}

async function removeForgotten(path: string): Promise<void> {
  const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
  if (mtimeMs < Date.now() - FORGOTTEN_MS) await unlink(path).catch(() => undefined);
}
