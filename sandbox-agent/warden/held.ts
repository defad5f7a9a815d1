/**
 * What the warden knows of one sandbox, and how it is told.
 * Promise: running time is counted on the monotonic clock from ready, without the time it stood frozen.
 */
import { type Clock, remainingMs } from './clock.ts';
import type { Egress } from './egress.ts';
import type { Execs } from './execs.ts';
import type { Lease } from './lease.ts';
import type { Sandbox, Shape } from './sandbox.ts';
import type { Secrets } from './secrets.ts';
import type { SnapshotRef } from './snapshots.ts';
import type { Launcher } from './spare-launcher.ts';

export type EndReason = string;

/** No further ticket will come: at the lease's end, or at `atWallMs` if that is sooner, it ends for this reason. */
export interface Finish {
  reason: EndReason;
  atWallMs: number;
}

export interface Ended {
  reason: EndReason;
  atUs: number;
  /** Only for `start_failed`. */
  cause?: string;
}

export interface Held {
  name: string;
  incarnation: number;
  image: string;
  shape: Shape;
  graceMs: number;
  hostUid: number;
  lease: Lease;
  finish: Finish | undefined;
  sandbox: Sandbox | undefined;
  /** What it starts from, where one waited. */
  launcher: Launcher | undefined;
  /** While and after it starts from nothing. */
  booting: Promise<Sandbox> | undefined;
  execs: Execs | undefined;
  secrets: Secrets;
  egress: Egress;
  startedAtUs: number;
  readyAtMonotonicMs: number | undefined;
  frozenAtMonotonicMs: number | undefined;
  frozenSinceUs: number | null;
  frozenTotalMs: number;
  lastActivityUs: number;
  lastActivity: string;
  /** The last figures, for when the cgroup is gone. */
  cpuUs: number;
  isEnding: boolean;
  /** Its disk is being copied: it stands still within its paid time. */
  isStilled: boolean;
  /** The snapshot that its disk becomes when its money or time is over. */
  keepAs: string | undefined;
  /** The snapshot it starts from. */
  from: SnapshotRef | undefined;
  ended: Ended | undefined;
  /** Settles as `create` does, for whoever repeats it. */
  created: Promise<unknown>;
}

/** Milliseconds until it must stand still; the sooner of lease and announced end. */
export function leftMs(held: Held, clock: Clock, marginMs: number): number {
  const ofLease = remainingMs(held.lease, clock, marginMs);
  return held.finish ? Math.min(ofLease, held.finish.atWallMs - clock.wallMs() - marginMs) : ofLease;
}

/** Paid running time so far: since ready, without frozen time. */
export function ranMs(held: Held, clock: Clock): number {
  if (held.readyAtMonotonicMs === undefined) return 0;
  const untilMs = held.frozenAtMonotonicMs ?? clock.monotonicMs();
  return Math.max(0, Math.round(untilMs - held.readyAtMonotonicMs - held.frozenTotalMs));
}

export function cpuUs(held: Held): number {
  // A cgroup that is gone reads as 0; what was used stays used.
  if (held.sandbox && !held.ended) held.cpuUs = Math.max(held.cpuUs, Number(held.sandbox.cgroup.cpuMicrosUsed()));
  return held.cpuUs;
}

export function stateOf(held: Held): 'starting' | 'running' | 'frozen' | 'ended' {
  if (held.ended) return 'ended';
  if (held.readyAtMonotonicMs === undefined) return 'starting';
  return held.frozenAtMonotonicMs === undefined ? 'running' : 'frozen';
}

export function viewOf(held: Held, clock: Clock) {
  const { seq, paidUntilMs, isFinal } = held.lease;
  const isLive = held.sandbox !== undefined && !held.ended;
  const remaining = held.ended ? 0 : Math.max(0, Math.floor(leftMs(held, clock, 0)));
  return {
    sandbox: held.name,
    incarnation: held.incarnation,
    image: held.image,
    state: stateOf(held),
    ended: held.ended ? { reason: held.ended.reason, at_us: held.ended.atUs } : null,
    lease: { seq, paid_until_us: paidUntilMs * 1_000, remaining_ms: remaining, final: isFinal },
    finish: held.finish ? { reason: held.finish.reason, at_us: Math.round(held.finish.atWallMs * 1_000) } : null,
    started_at_us: held.startedAtUs,
    running_ms: ranMs(held, clock),
    frozen_since_us: held.frozenSinceUs,
    cpu_us: cpuUs(held),
    memory_bytes: isLive ? held.sandbox?.cgroup.memoryBytesUsed() : 0,
    execs_running: held.execs?.runningCount ?? 0,
    last_activity_us: held.lastActivityUs,
    last_activity: held.lastActivity,
    cpu_millis: held.shape.cpuMillis,
    memory_mib: held.shape.memoryBytesMax / (1 << 20),
    disk_mib: held.shape.diskBytesMax / (1 << 20),
    pids_max: held.shape.pidsMax,
    grace_ms: held.graceMs,
    egress: held.egress.policy.mode,
  };
}
