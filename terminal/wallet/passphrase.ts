/**
 * Where a wallet's passphrase comes from: the environment, a private file, or whoever sits at the keyboard.
 * Promise: it is never shown, never an argument, and never asked for where nobody can answer.
 */

import { resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { type Io, write } from '../io.ts';
import { UsageError } from '../text/usage-error.ts';
import { readPrivateFile } from './private-files.ts';

const WAYS = 'Set TALLY_PASSPHRASE, or give --passphrase-file FILE (mode 0600).';

/**
 * `isNew` asks twice.
 * @errors UsageError when there is no way to learn it, it is empty, or the two differ
 */
export async function readPassphrase(io: Io, file: string | undefined, isNew: boolean): Promise<string> {
  const passphrase = await findPassphrase(io, file, isNew);
  if (passphrase === '') throw new UsageError('The passphrase is empty.', WAYS);
  return passphrase;
}

async function findPassphrase(io: Io, file: string | undefined, isNew: boolean): Promise<string> {
  if (file !== undefined) return readPassphraseFile(resolve(io.folder, file));
  const told = io.env['TALLY_PASSPHRASE'];
  if (told !== undefined) return told;
  if (!io.stdin.isTTY) throw new UsageError('The wallet needs a passphrase and nobody can be asked.', WAYS);
  const passphrase = await ask(io, 'Passphrase: ');
  if (isNew && (await ask(io, 'Once more: ')) !== passphrase)
    throw new UsageError('The two passphrases differ.', 'Try again.');
  return passphrase;
}

async function readPassphraseFile(path: string): Promise<string> {
  const text = await readPrivateFile(path);
  if (text === undefined) throw new UsageError(`${path} does not exist.`, WAYS);
  return text.replace(/\r?\n$/, '');
}

/** Reads a line without showing it. */
async function ask(io: Io, question: string): Promise<string> {
  await write(io.stderr, question);
  const mute = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: io.stdin, output: mute, terminal: true });
  const controller = new AbortController();
  lines.on('SIGINT', () => controller.abort());
  try {
    return await lines.question('', { signal: controller.signal });
  } catch {
    throw new UsageError('No passphrase was given.', WAYS);
  } finally {
    lines.close();
    await write(io.stderr, '\n');
  }
}
