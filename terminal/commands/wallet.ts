/**
 * `tally wallet`: the keystore file.
 * Promise: a private key comes in by file, standard input or unseen, and leaves in clear only on `export --raw`, asked for by name.
 */
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Io } from '../io.ts';
import type { PlainObject } from '../output/render.ts';
import { walletFile } from '../session.ts';
import { UsageError } from '../text/usage-error.ts';
import { findKey, openFound } from '../wallet/import.ts';
import type { Keystore } from '../wallet/keystore.ts';
import { readPassphrase } from '../wallet/passphrase.ts';
import { readPrivateFile } from '../wallet/private-files.ts';
import { addressOfWallet, createWallet, keepKey, openWallet, walletExists } from '../wallet/wallet.ts';
import { addCommand, onRun, type Run, type Spec, type World } from './command.ts';
import { addPaymentCommands } from './payments.ts';

interface WalletOptions {
  wallet?: string;
  passphraseFile?: string;
  fromPassphraseFile?: string;
  raw?: boolean;
  out?: string;
}

export function addWalletCommands(program: Command, world: World): void {
  const wallet = program
    .command('wallet')
    .summary('the keystore file (Web3 Secret Storage v3, as geth and foundry read it)');
  onRun(
    world,
    local(wallet, {
      usage: 'new',
      summary: 'make a wallet',
      examples: ['tally wallet new', 'tally wallet new --wallet second.json'],
    }),
    makeNew,
  );
  addImport(wallet, world);
  addExport(wallet, world);
  onRun(
    world,
    local(wallet, { usage: 'address', summary: 'print the address', examples: ['tally wallet address'] }),
    showAddress,
  );
  addPaymentCommands(program, wallet, world);
}

function addImport(wallet: Command, world: World): void {
  const command = local(wallet, {
    usage: 'import',
    summary: 'take over the key of another program, from its keystore or as 64 hex digits',
    examples: [
      'tally wallet import UTC--2026-11-21T09-00-00.0Z--008aeeda4d805471df9b2a5b0f38a0c3bcba786b',
      'tally wallet import < key.txt',
      'tally wallet import geth.json --from-passphrase-file old.txt --passphrase-file new.txt',
    ],
  })
    .argument('[file]', 'a file of mode 0600; - (the default where nobody can be asked) is standard input')
    .option(
      '--from-passphrase-file <file>',
      'read the passphrase of the keystore from this private file (default: the wallet keeps its passphrase)',
    );
  onRun(world, command, importKey);
}

function addExport(wallet: Command, world: World): void {
  const command = local(wallet, {
    usage: 'export',
    summary: 'print the encrypted keystore, or with --raw the key itself',
    examples: [
      'tally wallet export --out backup.json',
      'tally wallet export | ssh other tally wallet import',
      'tally wallet export --raw',
    ],
  })
    .option('--raw', 'print the private key in clear; whoever reads it owns the wallet')
    .option('--out <file>', 'write a new file of mode 0600 and print nothing of it');
  onRun(world, command, exportWallet);
}

const local = (parent: Command, spec: Spec): Command =>
  addCommand(parent, { ...spec, isLocal: true })
    .option('--wallet <file>', 'keystore file (default: wallet.json in TALLY_HOME or ~/.tally)')
    .option('--passphrase-file <file>', 'read the passphrase from this private file');

async function makeNew({ io, out }: Run, _: string[], options: WalletOptions): Promise<void> {
  const file = walletFile(io, options.wallet);
  const { address } = await createWallet(file, await readPassphrase(io, options.passphraseFile, true));
  await out.record({ address, wallet: file });
}

/** Sealed anew, with our own work for whoever guesses. */
async function importKey({ io, out }: Run, [source]: (string | undefined)[], options: WalletOptions): Promise<void> {
  const file = walletFile(io, options.wallet);
  if (await walletExists(file))
    throw new UsageError(`${file} exists already.`, 'Name another file with --wallet FILE.');
  const found = await findKey(io, source);
  const { privateKey, passphrase } =
    found.kind === 'keystore' ? await unsealed(io, found.keystore, options) : await bare(io, found.privateKey, options);
  const { address } = await keepKey(file, privateKey, passphrase);
  await out.record({ address, wallet: file, imported: found.kind });
}

interface Imported {
  privateKey: Uint8Array;
  /** Of the new wallet. */
  passphrase: string;
}

/** The passphrase stays what it was unless that one is named by itself. */
async function unsealed(io: Io, keystore: Keystore, options: WalletOptions): Promise<Imported> {
  const { fromPassphraseFile: from, passphraseFile } = options;
  const old = await readPassphrase(io, from ?? passphraseFile, false);
  const privateKey = await openFound(keystore, old);
  return { privateKey, passphrase: from === undefined ? old : await readPassphrase(io, passphraseFile, true) };
}

async function bare(io: Io, privateKey: Uint8Array, options: WalletOptions): Promise<Imported> {
  if (options.fromPassphraseFile !== undefined)
    throw new UsageError('A private key has no passphrase.', 'Leave out --from-passphrase-file.');
  return { privateKey, passphrase: await readPassphrase(io, options.passphraseFile, true) };
}

async function showAddress({ io, out }: Run, _: string[], options: WalletOptions): Promise<void> {
  const file = walletFile(io, options.wallet);
  const told = await addressOfWallet(file);
  const address =
    told ?? (await openWallet(file, await readPassphrase(io, options.passphraseFile, false))).signer.address;
  await out.say({ address, wallet: file }, address);
}

async function exportWallet({ io, out }: Run, _: string[], options: WalletOptions): Promise<void> {
  const file = walletFile(io, options.wallet);
  const { value, text } = options.raw
    ? await rawKey(file, await readPassphrase(io, options.passphraseFile, false))
    : await sealedKey(file);
  if (options.out === undefined) return out.say(value, text);
  const path = resolve(io.folder, options.out);
  await writeNew(path, `${text}\n`);
  return out.record({ address: (await addressOfWallet(file)) ?? null, out: path, raw: options.raw === true });
}

interface Shown {
  value: PlainObject;
  text: string;
}

async function sealedKey(file: string): Promise<Shown> {
  await addressOfWallet(file);
  const value = JSON.parse((await readPrivateFile(file))!) as PlainObject;
  return { value, text: JSON.stringify(value) };
}

async function rawKey(file: string, passphrase: string): Promise<Shown> {
  const { privateKey, signer } = await openWallet(file, passphrase);
  const text = `0x${privateKey.toString('hex')}`;
  return { value: { address: signer.address, private_key: text }, text };
}

/** Wherever the caller wants it: the folder may be one that others can list. @errors UsageError when it exists */
async function writeNew(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text, { flag: 'wx', mode: 0o600 });
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code !== 'EEXIST') throw fault;
    throw new UsageError(`${path} exists already.`, 'Name another file with --out FILE.');
  }
}
