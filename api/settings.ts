/**
 * What the api program is told by its environment.
 * Promise: every value is checked before anything starts.
 */
import { type Environment, integerSetting, seedSetting, switchSetting, textSetting } from '@tallystick/engine/program';
import { isLoopbackAddress } from './site.ts';

const PORT_MAX = 65_535;
const HOUR_MS = 3_600_000;
const QUANTUM_MS_DEFAULT = 60_000;
const GRACE_MS_DEFAULT = 120_000;
const MAINNET = 1;

export interface ApiSettings {
  dataFolder: string;
  host: string;
  port: number;
  /** Origin of the log; also the issuer in every receipt. */
  origin: string;
  logSeed: Buffer;
  /** Signs the short-lived tickets with which this program calls wardens. */
  callerSeed: Buffer;
  /** Raw Ed25519 public keys of who signs RunTickets, base64. */
  leaseKeys: string[];
  wardenSocket: string;
  provider: string;
  quantumMsDefault: number;
  graceMs: number;
  chainIds: number[];
  /** Under which URL callers reach the api; needed when it does not listen on loopback. */
  publicUrl: string | undefined;
  /** Development deposits are allowed (and only on loopback). */
  development: boolean;
}

/** @errors throws when development money is asked for where others could take it. */
export function readApiSettings(env: Environment): ApiSettings {
  const settings = readAll(env);
  if (settings.development && !isLoopbackAddress(settings.host)) {
    throw new Error(
      `TALLY_DEVELOPMENT is on and the api listens on ${settings.host}: development money exists on loopback only`,
    );
  }
  return settings;
}

function readAll(env: Environment): ApiSettings {
  return {
    dataFolder: textSetting(env, 'TALLY_DATA'),
    host: textSetting(env, 'TALLY_HOST', '127.0.0.1'),
    port: integerSetting(env, 'TALLY_PORT', { fallback: 0, min: 0, max: PORT_MAX }),
    origin: textSetting(env, 'TALLY_ORIGIN', 'tallystick.local/log'),
    logSeed: seedSetting(env, 'TALLY_LOG_KEY_FILE'),
    callerSeed: seedSetting(env, 'TALLY_CALLER_KEY_FILE'),
    leaseKeys: textSetting(env, 'TALLY_LEASE_PUBLIC_KEYS').split(','),
    wardenSocket: textSetting(env, 'TALLY_WARDEN_SOCKET'),
    provider: textSetting(env, 'TALLY_PROVIDER', 'local'),
    quantumMsDefault: integerSetting(env, 'TALLY_QUANTUM_MS', {
      fallback: QUANTUM_MS_DEFAULT,
      min: 1_000,
      max: 60_000,
    }),
    graceMs: integerSetting(env, 'TALLY_GRACE_MS', { fallback: GRACE_MS_DEFAULT, min: 0, max: HOUR_MS }),
    chainIds: textSetting(env, 'TALLY_CHAIN_IDS', String(MAINNET)).split(',').map(Number),
    publicUrl: env['TALLY_PUBLIC_URL'] || undefined,
    development: switchSetting(env, 'TALLY_DEVELOPMENT'),
  };
}
