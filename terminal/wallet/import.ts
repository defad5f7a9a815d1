/**
 * A key that another program made, on its way into our keystore: a Web3 Secret Storage file, or the key itself.
 * Promise: it comes from a private file, from standard input or unseen from the keyboard, never from an argument; no message repeats it.
 */
import { resolve } from 'node:path';
import { signerOfPrivateKey } from '@tallystick/sdk';
import { askHidden } from '../hidden-prompt.ts';
import type { Io } from '../io.ts';
import { UsageError } from '../text/usage-error.ts';
import { type Keystore, openKey, readKeystore } from './keystore.ts';
import { readPrivateFile } from './private-files.ts';

/** A keystore is half a KiB. */
const SOURCE_BYTES_MAX = 64 * 1024;
const KEY = /^(?:0x)?([0-9a-fA-F]{64})$/;
const WAYS =
  'Give a keystore (Web3 Secret Storage v3), or a private key of 64 hex digits, as a file of mode 0600 or on standard input.';

/** What was found; a keystore still has its passphrase. */
export type Found = { kind: 'keystore'; keystore: Keystore } | { kind: 'private_key'; privateKey: Buffer };

/**
 * `source` is a file; `-`, or none where nobody can be asked, is standard input.
 * @errors LooseFileError; KeystoreError; UsageError for anything that is neither, or a key in place of a file
 */
export async function findKey(io: Io, source: string | undefined): Promise<Found> {
  const text = (await readSource(io, source)).trim();
  const key = KEY.exec(text)?.[1];
  if (key !== undefined) return { kind: 'private_key', privateKey: checked(Buffer.from(key, 'hex')) };
  if (!text.startsWith('{')) throw new UsageError('This is neither a keystore nor a private key.', WAYS);
  try {
    return { kind: 'keystore', keystore: readKeystore(JSON.parse(text)) };
  } catch (fault) {
    if (fault instanceof SyntaxError) throw new UsageError('The keystore is not JSON.', WAYS);
    throw fault;
  }
}

async function readSource(io: Io, source: string | undefined): Promise<string> {
  if (source === undefined && io.stdin.isTTY)
    return (await askHidden(io, 'Private key (64 hex digits, unseen): ')) ?? '';
  if (source === undefined || source === '-') return readStandardInput(io);
  if (KEY.test(source))
    throw new UsageError(
      'A private key was given as an argument, where the shell and every program of this machine can read it.',
      'Count it as known to others and move what it holds. Give keys on standard input: tally wallet import < FILE.',
    );
  const path = resolve(io.folder, source);
  const text = await readPrivateFile(path);
  if (text === undefined) throw new UsageError(`${path} does not exist.`, WAYS);
  return text;
}

async function readStandardInput({ stdin }: Io): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stdin as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > SOURCE_BYTES_MAX)
      throw new UsageError(
        `Standard input is larger than a keystore can be: the cap is ${SOURCE_BYTES_MAX} bytes.`,
        WAYS,
      );
    chunks.push(Buffer.from(chunk));
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** @errors UsageError for zero, and for what is not below the order of the curve */
function checked(privateKey: Buffer): Buffer {
  try {
    signerOfPrivateKey(privateKey);
  } catch {
    throw new UsageError('These 64 hex digits are no private key: out of range.', WAYS);
  }
  return privateKey;
}

/** @errors KeystoreError `passphrase_wrong`; UsageError when the file names another address than its key has */
export async function openFound(keystore: Keystore, passphrase: string): Promise<Buffer> {
  const privateKey = await openKey(keystore, passphrase);
  const { address } = signerOfPrivateKey(privateKey);
  if (keystore.address !== undefined && address.toLowerCase() !== `0x${keystore.address}`)
    throw new UsageError(
      `The keystore names the address 0x${keystore.address}, its key has ${address}.`,
      'The file was changed: find another copy of it.',
    );
  return privateKey;
}
