/**
 * What the meter program is told by its environment.
 * Promise: every value is checked before anything starts.
 */
import { type ChainSettings, readChainIds, readChainSettings } from '@tallystick/engine/adapters/chain';
import { type Environment, integerSetting, seedSetting, textSetting } from '@tallystick/engine/program';
import type { ChainKeys } from './chain/loops.ts';

/** One dollar. */
const SWEEP_MIN_MICROS_DEFAULT = 1_000_000;
const BUMP_MS_DEFAULT = 60_000;
const BUMP_MS_MIN = 1_000;
const HOUR_MS = 3_600_000;

export interface MeterSettings {
  dataFolder: string;
  origin: string;
  logSeed: Buffer;
  /** Signs RunTickets; no other program holds it. */
  leaseSeed: Buffer;
  callerSeed: Buffer;
  wardenSocket: string;
  provider: string;
  /** Principals of these chains are known by their payments. */
  chainIds: number[];
  /** Where deposits come from; undefined where no chain is connected. */
  chain: ChainSettings | undefined;
  /** What signs there; no other program holds it. */
  chainKeys: ChainKeys;
}

export function readMeterSettings(env: Environment): MeterSettings {
  return {
    dataFolder: textSetting(env, 'TALLY_DATA'),
    origin: textSetting(env, 'TALLY_ORIGIN', 'tallystick.local/log'),
    logSeed: seedSetting(env, 'TALLY_LOG_KEY_FILE'),
    leaseSeed: seedSetting(env, 'TALLY_LEASE_KEY_FILE'),
    callerSeed: seedSetting(env, 'TALLY_CALLER_KEY_FILE'),
    wardenSocket: textSetting(env, 'TALLY_WARDEN_SOCKET'),
    provider: textSetting(env, 'TALLY_PROVIDER', 'local'),
    chainIds: readChainIds(env),
    chain: readChainSettings(env),
    chainKeys: readChainKeys(env),
  };
}

/** @errors throws for a key file that others may read, or without a key in it */
function readChainKeys(env: Environment): ChainKeys {
  const seedIn = (name: string): Buffer | undefined => (env[name] ? seedSetting(env, name) : undefined);
  const min = { fallback: SWEEP_MIN_MICROS_DEFAULT, min: 1, max: Number.MAX_SAFE_INTEGER };
  return {
    relayerSeed: seedIn('CHAIN_RELAYER_KEY_FILE'),
    treasurySeed: seedIn('CHAIN_TREASURY_KEY_FILE'),
    sweepMinMicros: BigInt(integerSetting(env, 'CHAIN_SWEEP_MIN_MICROS', min)),
    bumpMs: integerSetting(env, 'CHAIN_BUMP_MS', { fallback: BUMP_MS_DEFAULT, min: BUMP_MS_MIN, max: HOUR_MS }),
  };
}
