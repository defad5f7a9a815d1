/**
 * `tally login`, `logout`, `whoami`, `balance`, `deposit` and `keys`: who asks, and with which money.
 * Promise: the API key is stored with mode 0600 and never printed.
 */

import {
  ApiError,
  ApiKeySchema,
  BalanceSchema,
  connect,
  DepositSchema,
  type Login,
  login,
  payeeOf,
  payeeText,
  plain,
  USUAL_SCOPES,
  WITHDRAW_SCOPE,
} from '@tallystick/sdk';
import { Argument, type Command } from 'commander';
import type { Io } from '../io.ts';
import type { Out } from '../output/out.ts';
import { type Column, cellText, type PlainObject, printable, recordText } from '../output/render.ts';
import { pinPayee } from '../payments/limits-file.ts';
import {
  findAddress,
  findApiKey,
  forgetLogin,
  readSettings,
  type Settings,
  walletFile,
  writeSettings,
} from '../session.ts';
import { parseAmount } from '../text/amount.ts';
import { UsageError } from '../text/usage-error.ts';
import { readPassphrase } from '../wallet/passphrase.ts';
import { createWallet, openWallet, walletExists } from '../wallet/wallet.ts';
import { addCommand, duration, given, idOf, onRun, type Run, type World, withKey } from './command.ts';

const MS_PER_MINUTE = 60_000;

const KEY_COLUMNS: Column[] = [
  { field: 'id', heading: 'KEY' },
  { field: 'label', heading: 'LABEL' },
  { field: 'created_at', heading: 'CREATED' },
  { field: 'expires_at', heading: 'EXPIRES' },
  { field: 'revoked_at', heading: 'REVOKED' },
  { field: 'scopes', heading: 'SCOPES' },
];

export function addAccountCommands(program: Command, world: World): void {
  addLogin(program, world);
  addLogout(program, world);
  addWhoami(program, world);
  const balance = addCommand(program, {
    usage: 'balance',
    summary: 'what is there, held, spent, and how long it lasts',
    examples: ['tally balance', 'tally balance --json'],
  });
  onRun(world, balance, tellBalance);
  addDeposit(program, world);
  addKeys(program, world);
}

/** Data in full; for people the forecast is one sentence. */
async function tellBalance({ connect, out, io }: Run): Promise<void> {
  const value = plain(BalanceSchema, await (await connect()).balance());
  const { burn_micros_per_hour: _, funded_until: __, pending_micros: ___, ...amounts } = value;
  const lines = [recordText(amounts, out.colours), forecastText(value, io.nowMs())];
  await out.say(value, lines.filter(Boolean).join('\n'));
}

/** How long it lasts at what runs now, and what is on its way; empty when nothing of that is to be told. */
function forecastText({ burn_micros_per_hour, funded_until, pending_micros }: PlainObject, nowMs: number): string {
  const burn = cellText('burn_micros_per_hour', burn_micros_per_hour);
  const leftMs = Math.max(0, Date.parse(String(funded_until)) - nowMs);
  const wholeMinutesMs = leftMs - (leftMs % MS_PER_MINUTE);
  const lasts = funded_until
    ? `at ${burn} an hour it lasts ${cellText('left_ms', wholeMinutesMs)}, until ${cellText('', funded_until)}`
    : '';
  const more = pending_micros ? `${cellText('pending_micros', pending_micros)} more waits for confirmations` : '';
  return [lasts, more].filter(Boolean).join('; ');
}

interface LoginOptions {
  wallet?: string;
  new?: boolean;
  passphraseFile?: string;
  label?: string;
  ttl?: bigint;
  scope?: string[];
  withdraw?: boolean;
}

function addLogin(program: Command, world: World): void {
  const command = addCommand(program, {
    usage: 'login',
    summary: 'sign in with the wallet (EIP-4361) and keep an API key',
    examples: [
      'tally login --new',
      'tally login --url http://127.0.0.1:8080 --wallet key.json',
      'tally login --scope jobs:read --ttl 1h',
      'tally login --withdraw --ttl 1h',
    ],
  })
    .option('--wallet <file>', 'keystore file (default: wallet.json in TALLY_HOME or ~/.tally)')
    .option('--new', 'make the wallet first')
    .option('--passphrase-file <file>', 'read the passphrase from this private file')
    .option('--label <name>', 'a name for the API key', 'tally')
    .option('--ttl <time>', 'how long the key lives (default: 30d)', duration)
    .option(
      '--scope <scope...>',
      `all that the key may do (default: everything but ${WITHDRAW_SCOPE} and platform:admin)`,
    )
    .option('--withdraw', `the key may also send money out of the account: ${WITHDRAW_SCOPE}`);
  onRun<LoginOptions>(world, command, logIn);
}

async function logIn({ io, out, url }: Run, _: string[], options: LoginOptions): Promise<void> {
  const address = await findAddress(io, url);
  const file = walletFile(io, options.wallet);
  await refuseWrongWallet(file, options.new === true);
  const passphrase = await readPassphrase(io, options.passphraseFile, options.new === true);
  const signer = options.new ? await createWallet(file, passphrase) : (await openWallet(file, passphrase)).signer;
  if (options.new) await out.note(`wallet ${signer.address} made: ${file}`);
  const wishes = given({ label: options.label, ttlMs: options.ttl, scopes: scopesOf(options) });
  const key = await login({ baseUrl: address.url, signer, fetch: io.fetch, ...wishes });
  const shown = plain(ApiKeySchema, key);
  await writeSettings(io, { ...settingsOf(key, address, shown['expires_at'] as string | null), wallet: file });
  await pinAtLogin(io, out, { url: address.url, apiKey: key.secret });
  await out.say({ ...shown, url: address.url, wallet: file }, `logged in at ${address.url} as ${key.principal}`);
}

/** Undefined: what a login grants by itself. */
function scopesOf({ scope, withdraw }: LoginOptions): string[] | undefined {
  return withdraw ? [...new Set([...(scope ?? USUAL_SCOPES), WITHDRAW_SCOPE])] : scope;
}

/** Where payments go is best learned before any is asked for. Without a chain there is nothing to learn. */
async function pinAtLogin(io: Io, out: Out, { url, apiKey }: { url: string; apiKey: string }): Promise<void> {
  const reserves = connect({ baseUrl: url, apiKey, fetch: io.fetch, attemptsMax: 1 }).deposits.reserves();
  const payee = await reserves.then(payeeOf, () => undefined);
  if (!payee || (await pinPayee(io, url, payee)) === payeeText(payee)) return;
  await out.note(
    `This platform wants payments elsewhere than before, at ${printable(payeeText(payee))}: nothing is paid there.`,
  );
  await out.note('If you know why, run: tally wallet limits --repin');
}

async function refuseWrongWallet(file: string, isNew: boolean): Promise<void> {
  const exists = await walletExists(file);
  if (isNew && exists)
    throw new UsageError(
      `There is a wallet at ${file} already.`,
      'Log in with it: leave out --new; or name another file with --wallet FILE.',
    );
  if (!isNew && !exists) throw new UsageError(`There is no wallet at ${file}.`, 'Make one: tally login --new.');
}

const settingsOf = (key: Login, address: { url: string; file: string | null }, expiresAt: string | null): Settings => ({
  url: address.url,
  url_file: address.file,
  api_key: key.secret,
  key_id: key.id,
  principal: key.principal,
  expires_at: expiresAt,
});

function addLogout(program: Command, world: World): void {
  const command = addCommand(program, {
    usage: 'logout',
    summary: 'revoke the API key and forget it',
    examples: ['tally logout'],
  }).option('--forget', 'forget it here without asking the platform');
  onRun<{ forget?: boolean }>(world, command, async ({ io, out, url }, _, { forget }) => {
    const settings = await readSettings(io);
    if (!settings?.api_key) return out.say({ logged_out: false }, 'not logged in');
    if (!forget) {
      const { url: baseUrl } = await findAddress(io, url);
      await connect({ baseUrl, apiKey: settings.api_key, fetch: io.fetch }).keys.revoke(settings.key_id);
    }
    await forgetLogin(io, settings);
    return out.say(
      { logged_out: true, key_id: settings.key_id },
      `key ${settings.key_id} ${forget ? 'forgotten' : 'revoked'}`,
    );
  });
}

function addWhoami(program: Command, world: World): void {
  const command = addCommand(program, {
    usage: 'whoami',
    summary: 'who this terminal is, as the platform sees it',
    examples: ['tally whoami'],
  });
  onRun(world, command, async (run) => {
    const tally = await run.connect();
    const address = await findAddress(run.io, run.url);
    const settings = await readSettings(run.io);
    const isSaved = (await findApiKey(run.io, address)) === settings?.api_key;
    const { principal } = await tally.balance().catch((fault: unknown) => {
      // a key that may not read balances is somebody's all the same
      if (isSaved && settings && fault instanceof ApiError && fault.code === 'scope_missing') return settings;
      throw fault;
    });
    await run.out.record({
      principal,
      url: address.url,
      key_id: isSaved ? (settings?.key_id ?? null) : null,
      expires_at: isSaved ? (settings?.expires_at ?? null) : null,
    });
  });
}

function addDeposit(program: Command, world: World): void {
  const command = addCommand(program, {
    usage: 'deposit',
    summary: 'credit development money (a development platform on loopback only)',
    examples: ["tally deposit '$5'", 'tally deposit 250000micros --key top-up-1'],
  }).argument('<amount>', '$1.25, 1.25usd or 1250000micros');
  onRun<{ key?: string }>(world, withKey(command), async ({ connect, out }, [text], { key }) => {
    const amountMicros = parseAmount(text!);
    const tally = await connect();
    await out.record(plain(DepositSchema, await tally.depositDevelopment(amountMicros, given({ key }))));
  });
}

function addKeys(program: Command, world: World): void {
  const keys = program.command('keys').summary('API keys of this account');
  const list = addCommand(keys, {
    usage: 'list',
    summary: 'list API keys, newest first',
    examples: ['tally keys list'],
  });
  onRun(world, list, async ({ connect, out }) => {
    const found = await Array.fromAsync((await connect()).keys.list(), (key) => plain(ApiKeySchema, key));
    await out.list('keys', found, KEY_COLUMNS);
  });
  const revoke = addCommand(keys, {
    usage: 'revoke',
    summary: 'revoke an API key at once',
    examples: ['tally keys revoke key_0192…'],
  }).addArgument(new Argument('<key-id>', 'id of the key: key_…').argParser(idOf('key')));
  onRun<{ key?: string }>(world, withKey(revoke), async ({ connect, out }, [id], { key }) =>
    out.record(plain(ApiKeySchema, await (await connect()).keys.revoke(id!, given({ key })))),
  );
}
