/**
 * Who this terminal is and which platform it talks to.
 * Promise: an API key is sent to the platform that gave it and to no other.
 */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Connection, connect, type Tally } from '@tallystick/sdk';
import type { Io } from './io.ts';
import { UsageError } from './text/usage-error.ts';
import { readPrivateFile, writePrivateFile } from './wallet/private-files.ts';

/** What a login leaves behind, with mode 0600. */
export interface Settings {
  url: string;
  /** The address file the url was read from; it is read again when the platform has moved. */
  url_file: string | null;
  api_key: string;
  key_id: string;
  principal: string;
  expires_at: string | null;
  /** The keystore that logged in; absent in files of older versions. */
  wallet?: string;
}

/** A platform's address and where it was found. */
export interface Address {
  url: string;
  source: 'option' | 'environment' | 'login' | 'clone';
  /** The address file, when that is where it was found. */
  file: string | null;
}

const CLONE = dirname(dirname(fileURLToPath(import.meta.url)));
const URL_EXAMPLE =
  'Start a platform with `npm start`, or give its address: --url http://127.0.0.1:8080, or TALLY_URL.';

/** The folder of everything this terminal keeps. */
export const homeFolder = (io: Io): string => resolve(io.folder, io.env['TALLY_HOME'] || join(homedir(), '.tally'));

const settingsFile = (io: Io): string => join(homeFolder(io), 'config.json');

/** Where a keystore is when no other is named. */
export const walletFile = (io: Io, named?: string): string =>
  named ? resolve(io.folder, named) : join(homeFolder(io), 'wallet.json');

/** Where the platform of this clone keeps everything. */
export const dataFolder = (io: Io): string => resolve(io.folder, io.env['TALLY_DATA'] || join(CLONE, '.tally'));

/** Written by `npm start` in the clone. */
const addressFile = (io: Io): string => join(dataFolder(io), 'run', 'api.json');

/** @errors LooseFileError; UsageError for a file that is no JSON */
export async function readSettings(io: Io): Promise<Settings | undefined> {
  const text = await readPrivateFile(settingsFile(io));
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as Settings;
  } catch {
    throw new UsageError(`${settingsFile(io)} is not JSON.`, 'Remove it and log in again.');
  }
}

export const writeSettings = (io: Io, settings: Settings): Promise<void> =>
  writePrivateFile(settingsFile(io), `${JSON.stringify(settings, null, 2)}\n`);

/** Forgets the API key; the wallet stays. */
export async function forgetLogin(io: Io, settings: Settings): Promise<void> {
  await writeSettings(io, { ...settings, api_key: '', key_id: '', principal: '', expires_at: null });
}

/** --url, TALLY_URL, the last login, the platform of this clone: the first that is there. @errors UsageError */
export async function findAddress(io: Io, option?: string): Promise<Address> {
  if (option) return { url: checkUrl(option), source: 'option', file: null };
  if (io.env['TALLY_URL']) return { url: checkUrl(io.env['TALLY_URL']), source: 'environment', file: null };
  const settings = await readSettings(io);
  if (settings?.url) {
    const moved = settings.url_file ? await readAddressFile(settings.url_file) : undefined;
    return { url: moved ?? settings.url, source: 'login', file: settings.url_file };
  }
  return findLocalAddress(io, () => new UsageError('No platform is known.', URL_EXAMPLE));
}

/** Of the platform that runs with its data in `dataFolder`. @errors what `absent` says */
export async function findLocalAddress(io: Io, absent: () => UsageError): Promise<Address> {
  const file = addressFile(io);
  const url = await readAddressFile(file);
  if (url === undefined) throw absent();
  return { url, source: 'clone', file };
}

async function readAddressFile(path: string): Promise<string | undefined> {
  try {
    return checkUrl((JSON.parse(await readFile(path, 'utf8')) as { url: string }).url);
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT' || fault instanceof SyntaxError) return undefined;
    throw fault;
  }
}

/** http or https, no credentials, no path; without a trailing slash. */
function checkUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain =
    url &&
    ['http:', 'https:'].includes(url.protocol) &&
    !url.username &&
    !url.password &&
    url.pathname === '/' &&
    !url.search;
  if (!isPlain) throw new UsageError(`${text} is not the address of a platform.`, URL_EXAMPLE);
  return url.origin;
}

/** The API key for this platform. TALLY_API_KEY is the caller's own choice; a saved key belongs to the platform that gave it. */
export async function findApiKey(io: Io, address: Address): Promise<string | undefined> {
  if (io.env['TALLY_API_KEY']) return io.env['TALLY_API_KEY'];
  const settings = await readSettings(io);
  if (!settings?.api_key) return undefined;
  const hasMoved = address.file !== null && address.file === settings.url_file;
  const isOurs = address.source === 'login' || address.url === settings.url || hasMoved;
  return isOurs ? settings.api_key : undefined;
}

/** How to have a key for this platform. */
export const loginAdvice = ({ url }: Address): string =>
  `Run: tally login --url ${url} (with --new to make a wallet first)`;

/** What a connection has of payments. */
export type Paying = (connection: Connection) => Pick<Connection, 'payer' | 'onPayment'>;

/** A connection with the saved login. @errors UsageError when there is none for this platform */
export async function connectSaved(io: Io, urlOption?: string, paying?: Paying): Promise<Tally> {
  const address = await findAddress(io, urlOption);
  const apiKey = await findApiKey(io, address);
  if (!apiKey) throw new UsageError(`There is no login for ${address.url}.`, loginAdvice(address));
  const connection = { baseUrl: address.url, apiKey, fetch: io.fetch };
  return connect({ ...connection, ...paying?.(connection) });
}
