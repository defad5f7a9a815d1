/**
 * What the wallet of this terminal may pay by itself, and where to.
 * Promise: a platform's payee is pinned by a login; another one later is told, never taken over in silence. Two who change it lose nothing of each other.
 */
import { open, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Payee, payeeText, type SpendLimits } from '@tallystick/sdk';
import type { Io } from '../io.ts';
import { homeFolder } from '../session.ts';
import { UsageError } from '../text/usage-error.ts';
import { makePrivateFolder, readPrivateFile, writePrivateFile } from '../wallet/private-files.ts';

/** As it stands in the file; payees as `eip155:8453/0xtoken/0xpayee`. */
export interface LimitsFile {
  per_payment_micros: string;
  per_day_micros: string;
  prefer: string | null;
  /** Allowed by name. */
  allow: string[];
  /** By the platform's address. */
  pinned: Record<string, string>;
}

/** Nothing without being asked. */
const NOTHING: LimitsFile = { per_payment_micros: '0', per_day_micros: '0', prefer: null, allow: [], pinned: {} };
const LOCK_MODE = 0o600;
const LOCK_AGAIN_MS = 20;
const LOCK_TRIES_MAX = 500;
/** A change takes milliseconds. */
const LOCK_FORGOTTEN_MS = 5_000;
const PAYEE = /^(eip155:[1-9][0-9]*)\/(0x[0-9a-f]{40})\/(0x[0-9a-f]{40})$/;

const limitsPath = (io: Io): string => join(homeFolder(io), 'limits.json');

/** Where intents are kept. */
export const paymentsFolder = (io: Io): string => join(homeFolder(io), 'payments');

/** @errors LooseFileError; UsageError for a file that is no JSON */
export async function readLimits(io: Io): Promise<LimitsFile> {
  const text = await readPrivateFile(limitsPath(io));
  if (text === undefined) return NOTHING;
  try {
    const file = { ...NOTHING, ...(JSON.parse(text) as Partial<LimitsFile>) };
    limitsOf(file, '');
    return file;
  } catch {
    throw new UsageError(
      `${limitsPath(io)} is not what tally wrote.`,
      'Nothing is paid by it. Remove it and set limits again.',
    );
  }
}

const writeLimits = (io: Io, limits: LimitsFile): Promise<void> =>
  writePrivateFile(limitsPath(io), `${JSON.stringify(limits, null, 2)}\n`);

/** Reads, changes and writes as one. Resolves with what stands there now. @errors as `readLimits`; UsageError when another command holds the file too long */
export async function changeLimits(io: Io, change: (limits: LimitsFile) => LimitsFile): Promise<LimitsFile> {
  return locked(`${limitsPath(io)}.lock`, async () => {
    const before = await readLimits(io);
    const after = change(before);
    if (JSON.stringify(after) !== JSON.stringify(before)) await writeLimits(io, after);
    return after;
  });
}

async function locked<T>(path: string, work: () => Promise<T>): Promise<T> {
  await makePrivateFolder(dirname(path));
  for (let tries = 0; !(await isTaken(path)); tries++) {
    if (tries >= LOCK_TRIES_MAX) throw new UsageError(`${path} is held by another command.`, 'Try again.');
    await sleep(LOCK_AGAIN_MS);
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

/** Whether the lock is ours now. One that a dead command left is removed. */
async function isTaken(path: string): Promise<boolean> {
  try {
    await (await open(path, 'wx', LOCK_MODE)).close();
    return true;
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code !== 'EEXIST') throw fault;
  }
  const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
  if (mtimeMs < Date.now() - LOCK_FORGOTTEN_MS) await rm(path, { force: true });
  return false;
}

/** @errors UsageError */
export function parsePayee(text: string): Payee {
  const [, network, asset, payTo] = PAYEE.exec(text.toLowerCase()) ?? [];
  if (network && asset && payTo) return { network, asset, payTo };
  throw new UsageError(`${text} is no payee.`, 'Write network/token/payee: eip155:8453/0x…/0x….');
}

/** What counts at this platform. */
export function limitsOf(file: LimitsFile, url: string): SpendLimits {
  const { allow, pinned, prefer } = file;
  const named = Object.hasOwn(pinned, url) ? [...allow, pinned[url]!] : allow;
  return {
    perPaymentMicros: BigInt(file.per_payment_micros),
    perDayMicros: BigInt(file.per_day_micros),
    allow: named.map(parsePayee),
    ...(prefer === null ? {} : { prefer }),
  };
}

/** `isAgain` replaces what was pinned before. Resolves with what is pinned now. */
export async function pinPayee(io: Io, url: string, payee: Payee, isAgain = false): Promise<string> {
  const { pinned } = await changeLimits(io, (file) => {
    const isKept = Object.hasOwn(file.pinned, url) && !isAgain;
    return isKept ? file : { ...file, pinned: { ...file.pinned, [url]: payeeText(payee) } };
  });
  return pinned[url]!;
}
