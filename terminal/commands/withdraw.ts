/**
 * `tally withdraw`, `tally withdrawals` and `tally payout-address`: money that leaves the account.
 * Promise: says where it goes before it goes; --wait ends when it is there or has come back.
 */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import {
  formatUsd,
  PayoutAddressSchema,
  plain,
  type Signer,
  type Tally,
  type Withdrawal,
  WithdrawalSchema,
  WithdrawalStatus,
} from '@tallystick/sdk';
import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import { EXIT_REFUSED } from '../exit-code.ts';
import type { Out } from '../output/out.ts';
import type { Column } from '../output/render.ts';
import { payingWallet } from '../payments/payer.ts';
import { parseAmount } from '../text/amount.ts';
import { UsageError } from '../text/usage-error.ts';
import { readPassphrase } from '../wallet/passphrase.ts';
import { openWallet } from '../wallet/wallet.ts';
import { addCommand, given, idOf, onRun, type Run, type World, withKey } from './command.ts';

const ALL = 'all';
const ADDRESS = /^0x[0-9a-fA-F]{40}$/;

const COLUMNS: Column[] = [
  { field: 'id', heading: 'WITHDRAWAL' },
  { field: 'status', heading: 'STATUS' },
  { field: 'amount_micros', heading: 'AMOUNT' },
  { field: 'to', heading: 'TO' },
  { field: 'requested_at', heading: 'ASKED' },
  { field: 'tx', heading: 'TRANSACTION' },
];

const ADDRESS_COLUMNS: Column[] = [
  { field: 'address', heading: 'ADDRESS' },
  { field: 'network', heading: 'CHAIN' },
  { field: 'is_own', heading: 'OWN' },
  { field: 'is_usable', heading: 'USABLE' },
  { field: 'usable_from', heading: 'FROM' },
];

export function addWithdrawCommands(program: Command, world: World): void {
  addWithdraw(program, world);
  addWithdrawals(program, world);
  const addresses = program.command('payout-address').summary('addresses, besides your own, that you may withdraw to');
  addAsk(addresses, world);
  addProve(addresses, world);
  addList(addresses, world);
  addRevoke(addresses, world);
}

interface WithdrawOptions {
  to?: string;
  wait?: boolean;
  key?: string;
}

function addWithdraw(program: Command, world: World): void {
  const command = addCommand(program, {
    usage: 'withdraw',
    summary: 'send dollars out of the account, to your own address unless you name another',
    examples: [
      'tally login --withdraw    # once: other logins may not take money out',
      "tally withdraw '$5'",
      'tally withdraw all --wait',
      "tally withdraw '$5' --to 0x5aAe…eAed --key payday-1",
    ],
  })
    .argument('<amount>', '$1.25, 1.25usd, 1250000micros, or all that may leave now')
    .addOption(new Option('--to <address>', 'a proven address (tally payout-address)').argParser(address))
    .option('--wait', 'until it has arrived, or has come back (exit code as a refusal)');
  onRun<WithdrawOptions>(world, withKey(command), withdraw);
}

async function withdraw({ connect, out }: Run, [text]: string[], { to, wait, key }: WithdrawOptions) {
  const tally = await connect();
  const amountMicros = text === ALL ? await mostOf(tally, out) : parseAmount(text!);
  const asked = await tally.withdrawals.create(amountMicros, given({ to, key }));
  if (!wait) return out.record(plain(WithdrawalSchema, asked));
  if (!out.isJson) await out.note(`${asked.id} is on its way to ${asked.to}`);
  const ended = await tally.withdrawals.ended(asked.id);
  await out.record(plain(WithdrawalSchema, ended));
  return exitCodeOf(ended);
}

const exitCodeOf = ({ status }: Withdrawal): number | undefined =>
  status === WithdrawalStatus.RETURNED ? EXIT_REFUSED : undefined;

/** What stays behind is told. @errors UsageError when nothing may leave */
async function mostOf(tally: Tally, out: Out): Promise<bigint> {
  const most = await tally.withdrawals.most();
  const stays = most > 0n ? (await tally.balance()).balanceMicros - most : 0n;
  if (stays > 0n)
    await out.note(`${formatUsd(stays)} stay: tally policy says what may leave this month, and what is kept back`);
  if (most > 0n) return most;
  throw new UsageError(
    'Nothing can leave the account now.',
    'tally balance says what is there, tally policy what may leave this month, what is kept back, and the smallest withdrawal.',
  );
}

interface WithdrawalsOptions {
  cancel?: boolean;
  key?: string;
}

function addWithdrawals(program: Command, world: World): void {
  const command = addCommand(program, {
    usage: 'withdrawals',
    summary: 'withdrawals, newest first, and how far they have come; or one of them',
    examples: ['tally withdrawals', 'tally withdrawals wdr_0192… --json', 'tally withdrawals wdr_0192… --cancel'],
  })
    .addArgument(new Argument('[withdrawal-id]', 'id of a withdrawal: wdr_…').argParser(idOf('wdr')))
    .option('--cancel', 'take it back, while it is not signed');
  onRun<WithdrawalsOptions>(world, withKey(command), async ({ connect, out }, [id], { cancel, key }) => {
    if (cancel && id === undefined) throw new UsageError('Which one?', 'Name it: tally withdrawals wdr_… --cancel.');
    const { withdrawals } = await connect();
    if (id !== undefined) {
      const found = await (cancel ? withdrawals.cancel(id, given({ key })) : withdrawals.get(id));
      return out.record(plain(WithdrawalSchema, found));
    }
    const found = await Array.fromAsync(withdrawals.list(), (one) => plain(WithdrawalSchema, one));
    return out.list('withdrawals', found, COLUMNS);
  });
}

function addAsk(addresses: Command, world: World): void {
  const command = addCommand(addresses, {
    usage: 'ask',
    summary: 'print the text that another wallet signs to let this account withdraw to it',
    examples: ['tally payout-address ask 0x5aAe… > text.txt'],
  }).addArgument(addressArgument());
  onRun<{ key?: string }>(world, withKey(command), async ({ connect, out }, [where], { key }) => {
    const { message } = await (await connect()).withdrawals.addresses.ask(where!, given({ key }));
    await out.say({ address: where!, message }, message);
  });
}

interface ProveOptions {
  wallet?: string;
  passphraseFile?: string;
  ownerWallet?: string;
  ownerPassphraseFile?: string;
  text?: string;
  signature?: string;
  key?: string;
}

function addProve(addresses: Command, world: World): void {
  const command = addCommand(addresses, {
    usage: 'prove',
    summary:
      'prove an address by a keystore here or by the signature of what `ask` printed; your own wallet signs, too',
    examples: [
      'tally payout-address prove --wallet second.json',
      'tally payout-address prove 0x5aAe… --text text.txt --signature 0x…',
    ],
  })
    .addArgument(addressArgument('[address]'))
    .option('--wallet <file>', 'keystore file of the address')
    .option('--passphrase-file <file>', 'read the passphrase of that keystore from this private file')
    .option('--owner-wallet <file>', 'keystore file of the account itself (default: the one that logged in)')
    .option('--owner-passphrase-file <file>', 'read its passphrase from this private file')
    .option('--text <file>', 'the text that was signed, as `ask` printed it')
    .option('--signature <hex>', 'its signature (EIP-191; of a contract wallet what that takes)');
  onRun<ProveOptions>(world, withKey(command), prove);
}

async function prove(run: Run, [where]: string[], options: ProveOptions): Promise<void> {
  const { io, connect, out } = run;
  const { wallet, text, signature, key } = options;
  const { addresses } = (await connect()).withdrawals;
  if (wallet !== undefined) {
    const passphrase = await readPassphrase(io, options.passphraseFile, false);
    const { signer } = await openWallet(resolve(io.folder, wallet), passphrase);
    return out.record(plain(PayoutAddressSchema, await addresses.prove(signer, await ownerOf(run, options))));
  }
  if (where === undefined || text === undefined || signature === undefined)
    throw new UsageError(
      'There is nothing to sign with and nothing signed.',
      'Give --wallet FILE; or an address with --text FILE and --signature HEX: tally payout-address ask prints the text.',
    );
  const message = (await readFile(resolve(io.folder, text), 'utf8')).replace(/\n$/, '');
  const [proof, owner] = [{ address: where, message, signature }, await ownerOf(run, options)];
  return out.record(plain(PayoutAddressSchema, await addresses.allow(proof, owner, given({ key }))));
}

/** The account's own wallet: an API key alone adds no address. */
async function ownerOf({ io, out }: Run, { ownerWallet, ownerPassphraseFile }: ProveOptions): Promise<Signer> {
  const file = await payingWallet(io, ownerWallet);
  await out.note(`signed by the wallet of the account, too: ${file}`);
  return (await openWallet(file, await readPassphrase(io, ownerPassphraseFile, false))).signer;
}

function addList(addresses: Command, world: World): void {
  const command = addCommand(addresses, {
    usage: 'list',
    summary: 'addresses that you may withdraw to, now or soon',
    examples: ['tally payout-address list'],
  });
  onRun(world, command, async ({ connect, out }) => {
    const { addresses: all } = (await connect()).withdrawals;
    const found = await Array.fromAsync(all.list(), (one) => plain(PayoutAddressSchema, one));
    await out.list('addresses', found, ADDRESS_COLUMNS);
  });
}

function addRevoke(addresses: Command, world: World): void {
  const command = addCommand(addresses, {
    usage: 'revoke',
    summary: 'let nothing more be withdrawn to an address',
    examples: ['tally payout-address revoke 0x5aAe…'],
  }).addArgument(addressArgument());
  onRun<{ key?: string }>(world, withKey(command), async ({ connect, out }, [where], { key }) => {
    const { addresses: all } = (await connect()).withdrawals;
    await out.record(plain(PayoutAddressSchema, await all.revoke(where!, given({ key }))));
  });
}

const addressArgument = (usage = '<address>'): Argument =>
  new Argument(usage, '0x and 40 hex digits, as the wallet shows it').argParser(address);

function address(text: string): string {
  if (ADDRESS.test(text)) return text;
  throw new InvalidArgumentError('An address is 0x and 40 hex digits.');
}
