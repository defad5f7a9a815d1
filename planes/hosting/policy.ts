/**
 * What an account may ask for, and what a minute costs: data with a version and a hash.
 * Promise: the one place where limits stand; every receipt names the hash it was decided under.
 */
import { jcs, type Policy, sha256Hex } from '@tallystick/kernel';

/** Limits of one tier of accounts. */
export type Tier = {
  spend_micros_per_job_max: string;
  ttl_ms_default: number;
  ttl_ms_max: number;
  sandboxes_per_job_max: number;
  cpu_millis_max: number;
  ram_mib_max: number;
  disk_mib_max: number;
  quantum_ms_min: number;
  quantum_ms_default: number;
  quantum_ms_max: number;
  /** Isolation levels that may be sold, strongest first. */
  isolation: string[];
};

/** Price of one unit for 60 seconds. */
export type Prices = {
  core_minute_micros: string;
  gib_ram_minute_micros: string;
  gib_disk_minute_micros: string;
};

export type HostingPolicy = { version: string; tiers: { standard: Tier }; prices: Prices };

export const DEFAULT_POLICY: HostingPolicy = {
  version: '1',
  tiers: {
    standard: {
      spend_micros_per_job_max: '1000000000',
      ttl_ms_default: 86_400_000,
      ttl_ms_max: 2_592_000_000,
      sandboxes_per_job_max: 20,
      cpu_millis_max: 4_000,
      ram_mib_max: 8_192,
      disk_mib_max: 10_240,
      quantum_ms_min: 1_000,
      quantum_ms_default: 60_000,
      quantum_ms_max: 60_000,
      isolation: ['vm', 'gvisor', 'ns', 'ns-lite', 'mock'],
    },
  },
  prices: { core_minute_micros: '400', gib_ram_minute_micros: '100', gib_disk_minute_micros: '5' },
};

/** Name and hash of the policy, for receipts. */
export const POLICY: Policy = { version: DEFAULT_POLICY.version, hash: sha256Hex(jcs(DEFAULT_POLICY)) };

/** The limits that hold for everybody until accounts have tiers. */
export const tierOf = (policy: HostingPolicy = DEFAULT_POLICY): Tier => policy.tiers.standard;

/** What a sandbox is sold as. */
export interface Shape {
  isolation: string;
  cpu_millis: number;
  ram_mib: number;
  disk_mib: number;
}

/** Whether the policy still allows what was sold. */
export const allowsShape = (tier: Tier, shape: Shape): boolean =>
  tier.isolation.includes(shape.isolation) &&
  shape.cpu_millis <= tier.cpu_millis_max &&
  shape.ram_mib <= tier.ram_mib_max &&
  shape.disk_mib <= tier.disk_mib_max;

/** Whether a machine that enforces `actual` is at least as strong as the `sold` level. */
export function isAsStrong(tier: Tier, actual: string, sold: string): boolean {
  const rank = tier.isolation.indexOf(actual);
  return rank >= 0 && rank <= tier.isolation.indexOf(sold);
}
