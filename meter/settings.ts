/**
 * What the meter program is told by its environment.
 * Promise: every value is checked before anything starts.
 */
import { type Environment, seedSetting, textSetting } from '@tallystick/engine/program';

export interface MeterSettings {
  dataFolder: string;
  origin: string;
  logSeed: Buffer;
  /** Signs RunTickets; no other program holds it. */
  leaseSeed: Buffer;
  callerSeed: Buffer;
  wardenSocket: string;
  provider: string;
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
  };
}
