/**
 * Which chain a program is connected to, from its environment.
 * Promise: every value is checked before anything starts; without CHAIN_RPC_URL there is no chain.
 */
import type { Address } from 'viem';
import { type Environment, integerSetting, SettingError, textSetting } from '../../program/index.ts';
import type { ChainConfig } from './chain.ts';
import { PRIORITY_WEI_MAX } from './fees.ts';

const MAINNET = 1;
const ADDRESS = /^0x[0-9a-fA-F]{40}$/;
const CONFIRMATIONS_DEFAULT = 10;
const CONFIRMATIONS_MAX = 64;
const HOUR_MS = 3_600_000;
const POLL_MS_DEFAULT = 2_000;
const POLL_MS_MIN = 20;

export interface ChainSettings {
  config: ChainConfig;
  /** A transfer in the newest block has one. */
  confirmations: number;
  /** Nothing before this block is looked at. */
  startBlock: bigint;
  pollMs: number;
}

/** @errors throws naming the setting that is missing or wrong */
export function readChainSettings(env: Environment): ChainSettings | undefined {
  const rpcUrls = (env['CHAIN_RPC_URL'] ?? '')
    .split(',')
    .map((url) => url.trim())
    .filter((url) => url !== '');
  if (rpcUrls.length === 0) return undefined;
  const wrong = rpcUrls.find((url) => !URL.canParse(url) || !/^https?:/.test(url));
  if (wrong !== undefined)
    throw new SettingError(
      `the setting CHAIN_RPC_URL holds ${wrong}; it must be URLs that begin with http:// or https://, separated by commas`,
    );
  return {
    config: {
      rpcUrls,
      token: addressSetting(env, 'CHAIN_TOKEN'),
      tokenName: textSetting(env, 'CHAIN_TOKEN_NAME', 'USD Coin'),
      tokenVersion: textSetting(env, 'CHAIN_TOKEN_VERSION', '2'),
      treasury: addressSetting(env, 'CHAIN_TREASURY'),
      factory: addressSetting(env, 'CHAIN_FACTORY'),
      priorityWeiMax: prioritySetting(env),
    },
    confirmations: integerSetting(env, 'CHAIN_CONFIRMATIONS', {
      fallback: CONFIRMATIONS_DEFAULT,
      min: 1,
      max: CONFIRMATIONS_MAX,
    }),
    startBlock: BigInt(integerSetting(env, 'CHAIN_START_BLOCK', { fallback: 0, min: 0, max: Number.MAX_SAFE_INTEGER })),
    pollMs: integerSetting(env, 'CHAIN_POLL_MS', { fallback: POLL_MS_DEFAULT, min: POLL_MS_MIN, max: HOUR_MS }),
  };
}

/** Whose wallets may log in: Ethereum's own chain unless others are named. @errors throws naming what is no chain id */
export function readChainIds(env: Environment): number[] {
  const ids = textSetting(env, 'TALLY_CHAIN_IDS', String(MAINNET))
    .split(',')
    .map((text) => text.trim());
  const wrong = ids.find((text) => !/^[1-9][0-9]{0,14}$/.test(text));
  if (wrong === undefined) return ids.map(Number);
  throw new SettingError(
    `the setting TALLY_CHAIN_IDS names ${wrong}; it must be whole numbers separated by commas: 1,8453`,
  );
}

const prioritySetting = (env: Environment): bigint => {
  const max = Number(PRIORITY_WEI_MAX);
  return BigInt(integerSetting(env, 'CHAIN_PRIORITY_WEI_MAX', { fallback: max, min: 0, max }));
};

function addressSetting(env: Environment, name: string): Address {
  const text = textSetting(env, name);
  if (!ADDRESS.test(text)) throw new SettingError(`the setting ${name} is ${text}; it must be 0x and 40 hex digits`);
  return text.toLowerCase() as Address;
}
