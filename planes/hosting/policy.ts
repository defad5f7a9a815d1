/**
 * What an account may ask for of machines, and what a minute costs: data.
 * Promise: the one place where these limits stand and are looked up; every receipt names the hash of all policies together.
 */
import {
  type Allowance as AllowanceUnder,
  allowanceSeen,
  allowanceUnder,
  type Seen,
  type Standing,
  type TierName,
} from '@tallystick/kernel';

/** Limits of one tier of accounts. */
export type Tier = {
  spend_micros_per_job_max: string;
  /** Over all jobs, per UTC day, net of what was given back. */
  spend_micros_per_day_max: string;
  ttl_ms_default: number;
  ttl_ms_max: number;
  /** Over all jobs. */
  sandboxes_max: number;
  sandboxes_per_job_max: number;
  cpu_millis_max: number;
  ram_mib_max: number;
  disk_mib_max: number;
  quantum_ms_min: number;
  quantum_ms_default: number;
  quantum_ms_max: number;
  /** Ports that one sandbox may open to the outside. */
  ports_max: number;
  /** Snapshots kept at once, their bytes together, and how long one is kept: nobody pays for them, so they are bounded. */
  snapshots_max: number;
  snapshot_bytes_max: string;
  snapshot_ttl_ms_max: number;
  /** How a sandbox may reach the outside. */
  egress: string[];
  /** Isolation levels that may be sold, strongest first. */
  isolation: string[];
};

/** Price of one unit for 60 seconds. */
export type Prices = {
  core_minute_micros: string;
  gib_ram_minute_micros: string;
  gib_disk_minute_micros: string;
};

export type HostingPolicy = {
  tiers: Record<TierName, Tier>;
  /** All isolation levels, strongest first. */
  isolation: string[];
  prices: Prices;
};

const ISOLATION = ['vm', 'gvisor', 'ns', 'ns-lite', 'mock'];

export const DEFAULT_POLICY: HostingPolicy = {
  tiers: {
    new: {
      spend_micros_per_job_max: '2000000',
      spend_micros_per_day_max: '3000000',
      ttl_ms_default: 3_600_000,
      ttl_ms_max: 86_400_000,
      sandboxes_max: 5,
      sandboxes_per_job_max: 5,
      cpu_millis_max: 2_000,
      ram_mib_max: 2_048,
      disk_mib_max: 2_048,
      quantum_ms_min: 1_000,
      quantum_ms_default: 60_000,
      quantum_ms_max: 60_000,
      ports_max: 2,
      snapshots_max: 3,
      snapshot_bytes_max: '4294967296',
      snapshot_ttl_ms_max: 259_200_000,
      egress: ['none'],
      isolation: ['vm', 'gvisor', 'ns'],
    },
    standard: {
      spend_micros_per_job_max: '1000000000',
      spend_micros_per_day_max: '100000000',
      ttl_ms_default: 86_400_000,
      ttl_ms_max: 2_592_000_000,
      sandboxes_max: 100,
      sandboxes_per_job_max: 20,
      cpu_millis_max: 4_000,
      ram_mib_max: 8_192,
      disk_mib_max: 10_240,
      quantum_ms_min: 1_000,
      quantum_ms_default: 60_000,
      quantum_ms_max: 60_000,
      ports_max: 10,
      snapshots_max: 20,
      snapshot_bytes_max: '42949672960',
      snapshot_ttl_ms_max: 1_209_600_000,
      egress: ['none', 'allowlist'],
      isolation: ISOLATION,
    },
    trusted: {
      spend_micros_per_job_max: '10000000000',
      spend_micros_per_day_max: '10000000000',
      ttl_ms_default: 86_400_000,
      ttl_ms_max: 7_776_000_000,
      sandboxes_max: 2_000,
      sandboxes_per_job_max: 200,
      cpu_millis_max: 16_000,
      ram_mib_max: 65_536,
      disk_mib_max: 102_400,
      quantum_ms_min: 1_000,
      quantum_ms_default: 60_000,
      quantum_ms_max: 60_000,
      ports_max: 50,
      snapshots_max: 200,
      snapshot_bytes_max: '429496729600',
      snapshot_ttl_ms_max: 7_776_000_000,
      egress: ['none', 'allowlist', 'open'],
      isolation: ISOLATION,
    },
  },
  isolation: ISOLATION,
  prices: { core_minute_micros: '400', gib_ram_minute_micros: '100', gib_disk_minute_micros: '5' },
};

/** What holds for one principal. */
export type Allowance = AllowanceUnder<Tier>;

export const allowanceOf = (standing: Standing): Allowance => allowanceUnder(DEFAULT_POLICY.tiers, standing);

/** What holds for the principal now; its standing must be among the reads. */
export const allowanceIn = (seen: Seen, principal: string): Allowance =>
  allowanceSeen(DEFAULT_POLICY.tiers, seen, principal);

/** What a sandbox is sold as. */
export interface Shape {
  isolation: string;
  cpu_millis: number;
  ram_mib: number;
  disk_mib: number;
  egress?: { mode: string };
}

/** Whether the policy still allows what was sold. */
export const allowsShape = (tier: Tier, shape: Shape): boolean =>
  tier.isolation.includes(shape.isolation) &&
  tier.egress.includes(shape.egress?.mode ?? 'none') &&
  shape.cpu_millis <= tier.cpu_millis_max &&
  shape.ram_mib <= tier.ram_mib_max &&
  shape.disk_mib <= tier.disk_mib_max;

/** Whether a machine that enforces `actual` is at least as strong as the `sold` level. */
export function isAsStrong(actual: string, sold: string): boolean {
  const rank = DEFAULT_POLICY.isolation.indexOf(actual);
  return rank >= 0 && rank <= DEFAULT_POLICY.isolation.indexOf(sold);
}
