/**
 * What the warden is asked about snapshots: take one of a living sandbox, list them, remove one; and what it keeps by itself.
 * Promise: a sandbox stands still only while its disk is copied, within its paid time, and goes on only if it may.
 */
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonObject } from '@tallystick/kernel';
import type { SandboxSpec } from './admission.ts';
import { copyDisk, syncDisk, trimDisk } from './disk-copy.ts';
import { Fault, invalid, refused } from './fault.ts';
import type { Ground } from './ground.ts';
import { type Held, stateOf } from './held.ts';
import * as read from './request.ts';
import type { Sandbox } from './sandbox.ts';
import { type SnapshotPage, type SnapshotSource, type Snapshots, STILL_MS_MAX } from './snapshots.ts';

const FREEZE_MS_MAX = 2_000;
const MIB = 1 << 20;
const SNAPSHOT_ID = /^snp_[0-9a-f]{32}$/;

export const isSnapshotId: read.Check = (value) =>
  typeof value === 'string' && SNAPSHOT_ID.test(value) ? undefined : 'must be the id of a snapshot';
export const isSnapshotRef: read.Check = (value) => {
  if (read.isObject(value) !== undefined) return 'must be {snapshot, sha256}';
  const { snapshot, sha256, ...more } = value as JsonObject;
  const isHash = typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256);
  return isHash && Object.keys(more).length === 0 ? isSnapshotId(snapshot) : 'must be {snapshot, sha256}';
};

const sourceOf = (held: Held, snapshot: string, image_digest: string, cause: SnapshotSource['cause']) => ({
  snapshot,
  sandbox: held.name,
  incarnation: held.incarnation,
  image: held.image,
  image_digest,
  disk_mib: held.shape.diskBytesMax / MIB,
  cause,
});

/** @errors rejects with Fault `sandbox_ended`, `other_incarnation`, `starting`, or as `Snapshots.make` */
export async function takeSnapshot(
  snapshots: Snapshots,
  held: Held,
  imageDigest: () => Promise<string>,
  body: JsonObject,
): Promise<SnapshotPage> {
  read.checkMembers(body, { snapshot: isSnapshotId, incarnation: read.isCount(1, Number.MAX_SAFE_INTEGER) });
  if (held.incarnation !== body['incarnation']) {
    const facts = { here: held.incarnation, asked: body['incarnation'] as number };
    throw new Fault('conflict', 'other_incarnation', 'this is another incarnation', facts);
  }
  livingOf(held);
  const source = sourceOf(held, body['snapshot'] as string, await imageDigest(), 'asked');
  return snapshots.make(source, (file) => copyOf(held, file));
}

function livingOf(held: Held): { sandbox: Sandbox; isRunning: boolean } {
  const { sandbox } = held;
  const state = stateOf(held);
  if (state === 'ended' || held.isEnding) throw new Fault('gone', 'sandbox_ended', 'the sandbox has ended');
  if (state === 'starting' || !sandbox) throw refused('starting', 'the sandbox is starting');
  return { sandbox, isRunning: state === 'running' };
}

async function copyOf(held: Held, file: string): Promise<void> {
  const { sandbox, isRunning } = livingOf(held);
  const pid = sandbox.process.pid as number;
  const mountPoint = join(sandbox.directory, 'disk');
  if (isRunning) await trimDisk(pid, mountPoint);
  await whileStill(held, sandbox, async () => {
    await syncDisk(pid, mountPoint);
    await copyDisk(join(sandbox.directory, 'disk.img'), file, STILL_MS_MAX);
  });
}

/** What the lease decides meanwhile stands: a tree that it froze stays frozen. */
async function whileStill(held: Held, { cgroup }: Sandbox, work: () => Promise<void>): Promise<void> {
  if (held.isStilled) throw refused('snapshot_running', 'another snapshot of this sandbox is being taken');
  held.isStilled = true;
  try {
    cgroup.freeze();
    const giveUpAtMs = performance.now() + FREEZE_MS_MAX;
    while (!cgroup.isFrozen()) {
      if (held.isEnding || performance.now() > giveUpAtMs)
        throw refused('not_still', 'the sandbox does not stand still');
      await sleep(1);
    }
    await work();
  } finally {
    held.isStilled = false;
    if (!held.isEnding && held.frozenAtMonotonicMs === undefined) cgroup.thaw();
  }
}

/** Ends that nobody asked for: the money or the time was over. */
const KEPT_REASONS: ReadonlySet<string> = new Set([
  'lease_ended',
  'insufficient_funds',
  'sandbox_cap',
  'job_cap',
  'job_ttl',
  'sandbox_ttl',
  'idle',
  'policy',
]);

/** The snapshot that its disk becomes if it ends for this reason. */
export const keptAs = (held: Held, reason: string): string | undefined =>
  held.readyAtMonotonicMs !== undefined && KEPT_REASONS.has(reason) ? held.keepAs : undefined;

/** Resolves when the disk is out of the sandbox's folder, or cannot be had; the snapshot is listed once it is whole. */
export async function keepDisk(
  snapshots: Snapshots,
  ground: Ground,
  held: Held & { sandbox: Sandbox },
  snapshot: string,
  imageDigest: string,
): Promise<void> {
  const source = sourceOf(held, snapshot, imageDigest, 'on_end');
  // not by its shown path: a move between mounts would be a copy
  const file = join(dirname(ground.logs), 'sandboxes', held.sandbox.name, 'disk.img');
  await snapshots.keepDisk(source, file);
}

/** The digest of the image that a sandbox starts from. @errors rejects with Fault `image_digest_mismatch` naming both */
export async function checkImage(imageDigest: () => Promise<string>, spec: SandboxSpec): Promise<string> {
  const found = await imageDigest();
  const asked = spec.image_digest ?? found;
  if (asked === found) return found;
  const facts = { image: spec.image, asked, found };
  throw refused('image_digest_mismatch', 'the image of this machine is not the one that was sold', facts);
}

/** @errors throws Fault `invalid` */
export function snapshotIn(text: string): string {
  const wrong = isSnapshotId(text);
  if (wrong) throw invalid(`the snapshot ${wrong}`);
  return text;
}
