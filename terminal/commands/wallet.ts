/**
 * `tally wallet`: the keystore file.
 * Promise: the private key leaves it only on `export --private-key`, asked for by name.
 */
import type { Command } from 'commander';
import { walletFile } from '../session.ts';
import { readPassphrase } from '../wallet/passphrase.ts';
import { readPrivateFile } from '../wallet/private-files.ts';
import { addressOfWallet, createWallet, openWallet } from '../wallet/wallet.ts';
import { addCommand, onRun, type Run, type Spec, type World } from './command.ts';

interface WalletOptions {
  wallet?: string;
  passphraseFile?: string;
  privateKey?: boolean;
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
  onRun(
    world,
    local(wallet, { usage: 'address', summary: 'print the address', examples: ['tally wallet address'] }),
    showAddress,
  );
  const exported = local(wallet, {
    usage: 'export',
    summary: 'print the encrypted keystore, or with --private-key the key itself',
    examples: ['tally wallet export > backup.json', 'tally wallet export --private-key'],
  }).option('--private-key', 'print the private key in clear; whoever reads it owns the wallet');
  onRun(world, exported, exportWallet);
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

async function showAddress({ io, out }: Run, _: string[], options: WalletOptions): Promise<void> {
  const file = walletFile(io, options.wallet);
  const told = await addressOfWallet(file);
  const address =
    told ?? (await openWallet(file, await readPassphrase(io, options.passphraseFile, false))).signer.address;
  await out.say({ address, wallet: file }, address);
}

async function exportWallet({ io, out }: Run, _: string[], options: WalletOptions): Promise<void> {
  const file = walletFile(io, options.wallet);
  if (!options.privateKey) {
    await addressOfWallet(file);
    const keystore = JSON.parse((await readPrivateFile(file))!);
    return out.say(keystore, JSON.stringify(keystore));
  }
  const { privateKey, signer } = await openWallet(file, await readPassphrase(io, options.passphraseFile, false));
  const hex = `0x${privateKey.toString('hex')}`;
  return out.say({ address: signer.address, private_key: hex }, hex);
}
