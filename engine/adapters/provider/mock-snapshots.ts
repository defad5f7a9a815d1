/**
 * Snapshots of the mock: copies of its sandboxes' maps of files.
 * Promise: refused for the same reasons and by the same words as on a real machine.
 */
import { jcs, sha256Hex } from '@tallystick/kernel';
import type { MockSandbox } from './mock-sandbox.ts';
import { type FactValue, type Provider, ProviderFault, type SandboxSpec, type SnapshotView } from './port.ts';

export type MockSnapshots = Map<string, { view: SnapshotView; files: [path: string, bytes: Buffer][] }>;

const DISK_MIB_MIN = 256;
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

const refuse = (code: string, detail: string, facts?: Record<string, FactValue>): ProviderFault =>
  new ProviderFault('refused', code, detail, facts);

const digestOf = (files: [string, Buffer][]): string =>
  sha256Hex(Buffer.from(jcs(files.map(([path, bytes]) => [path, sha256Hex(bytes)]))));

/** @errors throws ProviderFault `image_digest_mismatch` */
export function checkMockImage({ image, image_digest }: SandboxSpec, digests: Record<string, string>): void {
  if (image_digest === undefined || image_digest === digests[image]) return;
  const facts = { image, asked: image_digest, found: digests[image] ?? '' };
  throw refuse('image_digest_mismatch', 'the image of this machine is not the one that was sold', facts);
}

function keep(
  snapshots: MockSnapshots,
  { spec, files }: MockSandbox,
  named: Pick<SnapshotView, 'snapshot' | 'cause' | 'image_digest' | 'taken_at_us'>,
): SnapshotView {
  const known = snapshots.get(named.snapshot);
  if (known) return known.view;
  if (spec.disk_mib < DISK_MIB_MIN) {
    const facts = { cap: 'disk_mib_min', asked: spec.disk_mib, available: DISK_MIB_MIN };
    throw refuse('disk_in_memory', 'a disk this small lives in memory and cannot be kept', facts);
  }
  const copied = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  const { sandbox, incarnation, image, disk_mib } = spec;
  const bytes = copied.reduce((sum, [, one]) => sum + one.length, 0);
  const view = { ...named, sandbox, incarnation, image, disk_mib, sha256: digestOf(copied), bytes };
  snapshots.set(named.snapshot, { view, files: copied });
  return view;
}

/** What a sandbox that has just ended announced to leave. */
export function keepMock(
  snapshots: MockSnapshots,
  sandbox: MockSandbox,
  digests: Record<string, string>,
  nowUs: number,
): void {
  const { keep_as, image } = sandbox.spec;
  if (!keep_as || !KEPT_REASONS.has(sandbox.ended?.reason ?? '')) return;
  const image_digest = digests[image] ?? '';
  keep(snapshots, sandbox, { snapshot: keep_as, cause: 'on_end', image_digest, taken_at_us: nowUs });
}

/** @errors throws ProviderFault `unknown_snapshot`, `snapshot_too_large`, `snapshot_digest_mismatch` */
export function restoreMock(snapshots: MockSnapshots, sandbox: Pick<MockSandbox, 'spec' | 'files'>): void {
  const { from, disk_mib } = sandbox.spec;
  if (!from) return;
  const kept = snapshots.get(from.snapshot);
  if (!kept) throw refuse('unknown_snapshot', `no snapshot ${from.snapshot} on this machine`);
  if (disk_mib < kept.view.disk_mib) {
    const facts = { cap: 'disk_mib', asked: disk_mib, available: kept.view.disk_mib };
    throw refuse('snapshot_too_large', 'the disk is smaller than the one of the snapshot', facts);
  }
  const found = digestOf(kept.files);
  if (found !== from.sha256) {
    const facts = { snapshot: from.snapshot, asked: from.sha256, found };
    throw refuse('snapshot_digest_mismatch', 'the bytes of the snapshot are not those that were kept', facts);
  }
  for (const [path, bytes] of kept.files) sandbox.files.set(path, bytes);
}

interface MockMachine {
  nowUs(): number;
  digests(): Record<string, string>;
  /** @errors throws ProviderFault `unknown_sandbox` */
  sandbox(name: string): MockSandbox;
}

export function snapshotCalls(snapshots: MockSnapshots, machine: MockMachine) {
  return {
    takeSnapshot: async (name, { snapshot, incarnation }) => {
      const sandbox = machine.sandbox(name);
      const { spec, ended } = sandbox;
      if (spec.incarnation !== incarnation)
        throw refuse('other_incarnation', 'this is another incarnation', { here: spec.incarnation });
      if (ended) throw new ProviderFault('gone', 'sandbox_ended', 'the sandbox has ended', ended);
      const image_digest = machine.digests()[spec.image] ?? '';
      return keep(snapshots, sandbox, { snapshot, cause: 'asked', image_digest, taken_at_us: machine.nowUs() });
    },
    listSnapshots: async () => [...snapshots.values()].map(({ view }) => view),
    deleteSnapshot: async (snapshot) => {
      snapshots.delete(snapshot);
    },
  } satisfies Partial<Provider>;
}
