/**
 * Where a wallet's passphrase comes from: the environment, a private file, a keychain, or whoever sits at the keyboard.
 * Promise: it is never shown, never an argument, and never asked for where nobody can answer.
 */

import { resolve } from 'node:path';
import { askHidden } from '../hidden-prompt.ts';
import { type Io, write } from '../io.ts';
import { UsageError } from '../text/usage-error.ts';
import { passphraseFrom } from './passphrase-command.ts';
import { readPrivateFile } from './private-files.ts';

const WAYS =
  'Set TALLY_PASSPHRASE, TALLY_PASSPHRASE_FILE or TALLY_PASSPHRASE_COMMAND, or give --passphrase-file FILE (mode 0600).';

const WHY_NEW =
  'A passphrase encrypts the new wallet on this computer. Nobody can recover it: without it the wallet is lost.\n';

/**
 * `isNew` asks twice and says why.
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
  const named = io.env['TALLY_PASSPHRASE_FILE'];
  if (named) return readPassphraseFile(resolve(io.folder, named));
  const command = io.env['TALLY_PASSPHRASE_COMMAND'];
  if (command) return passphraseFrom(command, io.folder);
  if (!io.stdin.isTTY) throw new UsageError('The wallet needs a passphrase and nobody can be asked.', WAYS);
  if (!isNew) return ask(io, 'Passphrase of the wallet: ');
  await write(io.stderr, WHY_NEW);
  const passphrase = await ask(io, 'New passphrase: ');
  if (passphrase === '') return passphrase;
  if ((await ask(io, 'The same again, against a slip of the fingers: ')) !== passphrase)
    throw new UsageError('The two passphrases differ; no wallet was made.', 'Try again.');
  return passphrase;
}

async function readPassphraseFile(path: string): Promise<string> {
  const text = await readPrivateFile(path);
  if (text === undefined) throw new UsageError(`${path} does not exist.`, WAYS);
  return text.replace(/\r?\n$/, '');
}

/** @errors UsageError when the question was left */
async function ask(io: Io, question: string): Promise<string> {
  const answer = await askHidden(io, question);
  if (answer === undefined) throw new UsageError('No passphrase was given.', WAYS);
  return answer;
}
