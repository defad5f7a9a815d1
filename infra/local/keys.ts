/**
 * The keys of a platform on this machine: made once, kept in files that only their owner may read.
 * Promise: an existing key is never replaced.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SEED_BYTES = 32;

export interface KeyFiles {
  /** Signs checkpoints of the log; api and meter hold it. */
  log: string;
  /** Signs RunTickets; the meter alone holds it. */
  lease: string;
  /** Signs the tickets with which api and meter call wardens. */
  caller: string;
  /** Holds the money of the platform's chain; a secp256k1 key. */
  treasury: string;
  /** Pays the gas for what others have signed; holds no dollars; a secp256k1 key. */
  relayer: string;
}

export function ensureKeys(folder: string): KeyFiles {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const of = (name: string): string => ensureSeed(folder, name);
  return { log: of('log'), lease: of('lease'), caller: of('caller'), treasury: of('treasury'), relayer: of('relayer') };
}

function ensureSeed(folder: string, name: string): string {
  const file = join(folder, `${name}.seed`);
  if (!existsSync(file))
    writeFileSync(file, `${randomBytes(SEED_BYTES).toString('base64')}\n`, { mode: 0o600, flag: 'wx' });
  return file;
}
