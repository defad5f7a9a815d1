/**
 * What the meter program is told by its environment.
 * Promise: every value is checked before anything starts.
 */
import { type ChainSettings, readChainSettings } from '@tallystick/engine/adapters/chain';
import { type Environment, seedSetting, textSetting } from '@tallystick/engine/program';

const MAINNET = 1;

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
    chainIds: textSetting(env, 'TALLY_CHAIN_IDS', String(MAINNET)).split(',').map(Number),
    chain: readChainSettings(env),
  };
}
