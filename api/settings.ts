/**
 * What the api program is told by its environment.
 * Promise: every value is checked before anything starts.
 */
import { type ChainSettings, readChainIds, readChainSettings } from '@tallystick/engine/adapters/chain';
import {
  type Environment,
  integerSetting,
  SettingError,
  seedSetting,
  switchSetting,
  textSetting,
  urlSetting,
} from '@tallystick/engine/program';
import { readTillSettings, type TillSettings } from './quotes/settings.ts';
import type { RatesPerMinute } from './rate-limits.ts';
import { isLoopbackAddress } from './site.ts';

/** On a real chain; 1 USD. */
const WITHDRAWAL_MIN_MICROS_DEFAULT = 1_000_000;
const WITHDRAWAL_MIN_MICROS_MAX = 1_000_000_000;
const WITHDRAWAL_RESERVE_MICROS_MAX = 1_000_000_000_000;
const PORT_MAX = 65_535;
const HOUR_MS = 3_600_000;
const QUANTUM_MS_DEFAULT = 60_000;
const GRACE_MS_DEFAULT = 120_000;
const READS_PER_MINUTE = 60_000;
const WRITES_PER_MINUTE = 30_000;
const LOGINS_PER_MINUTE = 60;
/** Everybody comes from one address there. */
const DEVELOPMENT_LOGINS_PER_MINUTE = 1_200;
const PUBLIC_READS_PER_MINUTE = 12_000;
const RATE_MAX = 1_000_000_000;
const WEB = ['https:', 'http:'];
const PRINCIPAL = /^eip155:[1-9][0-9]{0,15}:0x[0-9a-f]{40}$/;

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
  /** Where deposits come from; undefined where no chain is connected. */
  chain: ChainSettings | undefined;
  /** How callers pay for requests; undefined where nobody carries payments to the chain. */
  till: TillSettings | undefined;
  /** The meter has the treasury's key: what is held is sent. */
  withdrawals: boolean;
  /** Less is not sent to the chain: its gas would cost more than it is. */
  withdrawalMinMicros: bigint;
  /** What a withdrawal leaves in its account, whatever the tier. */
  withdrawalReserveMicros: bigint;
  /** Under which URL callers reach the api; needed when it does not listen on loopback. */
  publicUrl: string | undefined;
  /** The listener for the ports of sandboxes; `publicUrl` is the one above all of theirs. */
  ports: { host: string; port: number; publicUrl: string | undefined };
  /** Principals who may change how the platform stands to principals and providers. */
  admins: ReadonlySet<string>;
  ratesPerMinute: RatesPerMinute;
  /** Development deposits are allowed (and only on loopback). */
  development: boolean;
}

/** @errors throws when development money is asked for where others could take it. */
export function readApiSettings(env: Environment): ApiSettings {
  const settings = readAll(env);
  if (settings.development && !isLoopbackAddress(settings.host)) {
    throw new SettingError(
      `TALLY_DEVELOPMENT is on and the api listens on ${settings.host}: development money exists on loopback only (npm start: --production)`,
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
    chainIds: readChainIds(env),
    chain: readChainSettings(env),
    till: readTillSettings(env),
    withdrawals: withdrawalsIn(env),
    withdrawalMinMicros: BigInt(
      integerSetting(env, 'CHAIN_WITHDRAWAL_MIN_MICROS', {
        fallback: WITHDRAWAL_MIN_MICROS_DEFAULT,
        min: 1,
        max: WITHDRAWAL_MIN_MICROS_MAX,
      }),
    ),
    withdrawalReserveMicros: BigInt(
      integerSetting(env, 'CHAIN_WITHDRAWAL_RESERVE_MICROS', {
        fallback: 0,
        min: 0,
        max: WITHDRAWAL_RESERVE_MICROS_MAX,
      }),
    ),
    publicUrl: urlSetting(env, 'TALLY_PUBLIC_URL', WEB),
    ports: portsIn(env),
    admins: adminsIn(env),
    ratesPerMinute: {
      principal_reads: rateSetting(env, 'TALLY_RATE_READS', READS_PER_MINUTE),
      principal_writes: rateSetting(env, 'TALLY_RATE_WRITES', WRITES_PER_MINUTE),
      address_logins: rateSetting(env, 'TALLY_RATE_LOGINS', loginsPerMinute(env)),
      address_reads: rateSetting(env, 'TALLY_RATE_PUBLIC_READS', PUBLIC_READS_PER_MINUTE),
    },
    development: switchSetting(env, 'TALLY_DEVELOPMENT'),
  };
}

/** @errors throws for another word than on and off */
function withdrawalsIn(env: Environment): boolean {
  const word = env['CHAIN_WITHDRAWALS'] || 'off';
  if (word !== 'on' && word !== 'off')
    throw new SettingError(`the setting CHAIN_WITHDRAWALS is ${word}; it must be on or off`);
  return word === 'on';
}

/** @errors throws when it would listen for others without saying where they find it */
function portsIn(env: Environment): ApiSettings['ports'] {
  const host = textSetting(env, 'TALLY_PORTS_HOST', '127.0.0.1');
  const publicUrl = urlSetting(env, 'TALLY_PORTS_PUBLIC_URL', WEB);
  if (publicUrl === undefined && !isLoopbackAddress(host))
    throw new SettingError(
      `ports are listened for on ${host}: TALLY_PORTS_PUBLIC_URL must say below which URL they are`,
    );
  return { host, port: integerSetting(env, 'TALLY_PORTS_PORT', { fallback: 0, min: 0, max: PORT_MAX }), publicUrl };
}

/** Each login leaves receipts, and nobody has paid for them yet. */
const loginsPerMinute = (env: Environment): number =>
  switchSetting(env, 'TALLY_DEVELOPMENT') ? DEVELOPMENT_LOGINS_PER_MINUTE : LOGINS_PER_MINUTE;

const rateSetting = (env: Environment, name: string, fallback: number): number =>
  integerSetting(env, name, { fallback, min: 1, max: RATE_MAX });

/** @errors throws naming what is not a principal, so that a misspelt administrator is noticed at the start */
function adminsIn(env: Environment): ReadonlySet<string> {
  const named = (env['TALLY_ADMINS'] ?? '').split(',').map((text) => text.trim().toLowerCase());
  const admins = named.filter((text) => text !== '');
  const wrong = admins.find((text) => !PRINCIPAL.test(text));
  if (wrong) throw new SettingError(`the setting TALLY_ADMINS names ${wrong}; it must be eip155:<chain>:<address>`);
  return new Set(admins);
}
