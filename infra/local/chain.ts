/**
 * The development chain as a part of the platform on this machine.
 * Promise: used only where no other chain is set, and only for development.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { signerOfPrivateKey } from '@tallystick/sdk';
import type { Program, ReadyFacts } from './child.ts';
import type { KeyFiles } from './keys.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const POLL_MS = '150';
/** Here a block comes with each transaction and else hardly any. */
const CONFIRMATIONS_DEFAULT = '1';
/** A login names it unless it says otherwise; contract wallets name the chain on which they stand. */
const MAINNET = 1;

export interface ChainProgramOptions {
  folder: string;
  development: boolean;
  logFile: string;
  keys: ChainKeyFiles;
}

/** How money comes in: `faucet` of the development chain, a `chain` that is set by CHAIN_RPC_URL, or not at all. */
export type MoneySource = 'faucet' | 'chain' | 'none';

export function moneySource({ development }: Pick<ChainProgramOptions, 'development'>): MoneySource {
  if (process.env['CHAIN_RPC_URL']) return 'chain';
  return development ? 'faucet' : 'none';
}

/** Undefined where a chain is set by CHAIN_RPC_URL, or none is wanted. */
export function chainProgram({ folder, development, logFile, keys }: ChainProgramOptions): Program | undefined {
  if (moneySource({ development }) !== 'faucet') return undefined;
  return {
    name: 'chain',
    main: join(ROOT, 'engine', 'adapters', 'chain', 'embedded', 'main.ts'),
    arguments: [],
    env: { TALLY_DATA: folder, TALLY_CHAIN_GAS_FOR: [keys.treasury, keys.relayer].map(addressOf).join(',') },
    logFile,
  };
}

/** What api and meter are told of it. */
export function chainEnvironment(ready: ReadyFacts, keys: ChainKeyFiles): Record<string, string> {
  return {
    CHAIN_RPC_URL: String(ready['url']),
    TALLY_CHAIN_IDS: process.env['TALLY_CHAIN_IDS'] ?? `${MAINNET},${ready['chain_id']}`,
    CHAIN_TOKEN: String(ready['token']),
    CHAIN_TOKEN_NAME: String(ready['token_name']),
    CHAIN_TOKEN_VERSION: String(ready['token_version']),
    CHAIN_FACTORY: String(ready['factory']),
    CHAIN_TREASURY: addressOf(keys.treasury),
    CHAIN_RELAYER: addressOf(keys.relayer),
    CHAIN_WITHDRAWALS: 'on',
    CHAIN_WITHDRAWAL_MIN_MICROS: '10000', // gas costs nothing here
    CHAIN_CONFIRMATIONS: process.env['CHAIN_CONFIRMATIONS'] || CONFIRMATIONS_DEFAULT,
    CHAIN_POLL_MS: POLL_MS,
  };
}

type ChainKeyFiles = Pick<KeyFiles, 'treasury' | 'relayer'>;

const addressOf = (seedFile: string): string =>
  signerOfPrivateKey(Buffer.from(readFileSync(seedFile, 'utf8').trim(), 'base64')).address;

/** Where the meter alone finds the keys; nothing where another chain is set, whose operator says where they are. */
export const chainKeySettings = ({ treasury, relayer }: ChainKeyFiles): Record<string, string> => ({
  CHAIN_TREASURY_KEY_FILE: treasury,
  CHAIN_RELAYER_KEY_FILE: relayer,
});
