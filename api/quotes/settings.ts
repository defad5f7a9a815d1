/**
 * Whether callers can pay for requests, from the environment.
 * Promise: only where somebody carries payments to the chain.
 */
import { type Environment, integerSetting, SettingError } from '@tallystick/engine/program';
import { OPTION_MICROS_MAX } from './ladder.ts';

/** 0.10 USD. */
const LEAST_MICROS_DEFAULT = 100_000;
const ADDRESS = /^0x[0-9a-fA-F]{40}$/;

export interface TillSettings {
  /** Whose key pays the gas; only the meter has it. */
  relayer: string;
  /** The smallest payment. */
  leastMicros: bigint;
}

/** Undefined without CHAIN_RELAYER. @errors throws naming the setting that is wrong */
export function readTillSettings(env: Environment): TillSettings | undefined {
  const relayer = env['CHAIN_RELAYER'] ?? '';
  if (relayer === '') return undefined;
  if (!ADDRESS.test(relayer))
    throw new SettingError(`the setting CHAIN_RELAYER is ${relayer}; it must be 0x and 40 hex digits`);
  const least = { fallback: LEAST_MICROS_DEFAULT, min: 1, max: Number(OPTION_MICROS_MAX) };
  return {
    relayer: relayer.toLowerCase(),
    leastMicros: BigInt(integerSetting(env, 'CHAIN_QUOTE_MIN_MICROS', least)),
  };
}
