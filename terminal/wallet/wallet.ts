/**
 * The terminal's wallet: one keystore file.
 * Promise: a key is made here, is written encrypted only, and an existing file is never overwritten.
 */
import { randomBytes } from 'node:crypto';
import { type Signer, signerOfPrivateKey } from '@tallystick/sdk';
import { UsageError } from '../text/usage-error.ts';
import { openKey, readKeystore, sealKey } from './keystore.ts';
import { readPrivateFile, writePrivateFile } from './private-files.ts';

const KEY_BYTES = 32;

/**
 * Makes a wallet and says its address.
 * @errors UsageError when the file exists
 */
export const createWallet = (path: string, passphrase: string): Promise<Signer> =>
  keepKey(path, randomBytes(KEY_BYTES), passphrase);

/**
 * Keeps a key in a new file. Random bytes are a key but for 2^-128 of them.
 * @errors UsageError when the file exists; PrivateKeyError when the bytes are no key
 */
export async function keepKey(path: string, privateKey: Uint8Array, passphrase: string): Promise<Signer> {
  const signer = signerOfPrivateKey(privateKey);
  const file = await sealKey(privateKey, signer.address, passphrase);
  try {
    await writePrivateFile(path, `${JSON.stringify(file)}\n`, { isNew: true, isFolderShared: true });
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code !== 'EEXIST') throw fault;
    throw new UsageError(`${path} exists already.`, 'Name another file with --wallet FILE.');
  }
  return signer;
}

/** Whether there is one. @errors LooseFileError */
export const walletExists = async (path: string): Promise<boolean> => (await readPrivateFile(path)) !== undefined;

/** The address without the passphrase: 0x and 40 lower-case hex digits; undefined when the file does not tell. */
export async function addressOfWallet(path: string): Promise<string | undefined> {
  const { address } = readKeystore(await readWalletFile(path));
  return address === undefined ? undefined : `0x${address}`;
}

/** @errors KeystoreError, LooseFileError, UsageError when there is no file */
export async function openWallet(path: string, passphrase: string): Promise<{ privateKey: Buffer; signer: Signer }> {
  const file = readKeystore(await readWalletFile(path));
  const privateKey = await openKey(file, passphrase);
  const signer = signerOfPrivateKey(privateKey);
  if (file.address !== undefined && signer.address.toLowerCase() !== `0x${file.address}`)
    throw new UsageError(`${path} names another address than its key has.`, 'The file was changed: restore it.');
  return { privateKey, signer };
}

async function readWalletFile(path: string): Promise<unknown> {
  const text = await readPrivateFile(path);
  if (text === undefined)
    throw new UsageError(`There is no wallet at ${path}.`, 'Make one: tally wallet new, or tally login --new.');
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`${path} is not JSON.`, 'Name a keystore file with --wallet FILE.');
  }
}
