/**
 * What this machine offers and what it refuses before anything is made.
 * Promise: a refusal names the cap, what was asked and what is available.
 */
import { statfsSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import type { EgressPolicy } from './egress.ts';
import { Fault, refused } from './fault.ts';
import type { Shape } from './sandbox.ts';
import type { SnapshotRef } from './snapshots.ts';

export interface SandboxSpec {
  sandbox: string;
  /** Which life of it, from 1. */
  incarnation: number;
  image: string;
  cpu_millis: number;
  memory_mib: number;
  disk_mib: number;
  pids_max: number;
  grace_ms: number;
  /** Start from this snapshot instead of an empty disk. */
  from?: SnapshotRef | null;
  /** The snapshot that its disk becomes when its money or time is over. */
  keep_as?: string | null;
  /** Hex; refused on a machine whose image has another digest. */
  image_digest?: string | null;
  /** Absent: none. */
  egress?: EgressPolicy | null;
}

export interface Admission {
  images: readonly string[];
  cpuMillis: number;
  memoryMib: number;
  diskMib: number;
}

export const IMAGE_VERSION = 'sandbox-base:v1.0.0';
export const GRACE_MS_MAX = 600_000;
export const SANDBOXES_MAX = 256;
/** Below these a guest does not start. */
const LIMITS = {
  cpu_millis: { min: 50, max: 64_000 },
  memory_mib: { min: 64, max: 1 << 20 },
  disk_mib: { min: 1, max: 1 << 20 },
  pids_max: { min: 16, max: 32_768 },
  grace_ms: { min: 0, max: GRACE_MS_MAX },
} as const;
const MIB = 1 << 20;
/** The host keeps this share of its memory and disk for itself. */
const HOST_SHARE = 0.1;

export function detectAdmission(folder: string): Admission {
  const disk = statfsSync(folder);
  return {
    images: [IMAGE_VERSION],
    cpuMillis: cpus().length * 1_000,
    memoryMib: Math.floor((totalmem() * (1 - HOST_SHARE)) / MIB),
    diskMib: Math.floor((disk.bavail * disk.bsize * (1 - HOST_SHARE)) / MIB),
  };
}

function checkRoom(name: string, asked: number, cap: number, taken: number): void {
  const available = cap - taken;
  if (asked > available)
    throw refused('no_room', `not enough ${name} on this machine`, { name, cap, asked, available });
}

/** `live` are the shapes already on the machine. @errors throws Fault `unknown_image`, `limit_out_of_range` or `no_room`. */
export function admitSpec(spec: SandboxSpec, admission: Admission, live: Shape[]): Shape {
  if (!admission.images.includes(spec.image)) {
    throw refused('unknown_image', `no image ${spec.image}`, {
      asked: spec.image,
      available: admission.images.join(' '),
    });
  }
  for (const [name, { min, max }] of Object.entries(LIMITS)) {
    const asked = spec[name as keyof typeof LIMITS];
    if (asked < min || asked > max) {
      throw refused('limit_out_of_range', `${name} must be ${min} to ${max}`, { name, asked, min, max });
    }
  }
  if (live.length >= SANDBOXES_MAX) {
    throw new Fault('busy', 'no_room', 'too many sandboxes', { cap: SANDBOXES_MAX, asked: 1, available: 0 });
  }
  const sum = (of: (shape: Shape) => number): number => live.reduce((total, shape) => total + of(shape), 0);
  checkRoom('cpu_millis', spec.cpu_millis, admission.cpuMillis, 0);
  checkRoom('memory_mib', spec.memory_mib, admission.memoryMib, sum((shape) => shape.memoryBytesMax) / MIB);
  checkRoom('disk_mib', spec.disk_mib, admission.diskMib, sum((shape) => shape.diskBytesMax) / MIB);
  return {
    cpuMillis: spec.cpu_millis,
    memoryBytesMax: spec.memory_mib * MIB,
    diskBytesMax: spec.disk_mib * MIB,
    pidsMax: spec.pids_max,
  };
}
