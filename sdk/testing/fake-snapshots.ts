/**
 * Snapshots of the fake platform: names without content.
 * Promise: what was created is listed until it is deleted.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { SnapshotCause, type SnapshotSchema, SnapshotService, SnapshotStatus } from '@tallystick/proto';
import { type Call, implement, refuse } from '@tallystick/surface';

type SnapshotInit = MessageInitShape<typeof SnapshotSchema>;

const AT = { seconds: 1_790_000_000n, nanos: 0 };

/** `check` refuses a sandbox that is not there; `changed` notes a change. */
export function fakeSnapshotsOf(
  newId: (prefix: string) => string,
  check: (id: string) => void,
  changed: (method: string, call: Call) => void,
) {
  const snapshots = new Map<string, SnapshotInit>();
  const found = (id: string): SnapshotInit => {
    const snapshot = snapshots.get(id);
    if (!snapshot) throw refuse('NOT_FOUND', {}, `there is no snapshot ${id} for you`);
    return snapshot;
  };
  const isKept = ({ status }: SnapshotInit): boolean => status === SnapshotStatus.READY;
  return implement(SnapshotService, {
    createSnapshot: ({ id: sandboxId, label, ttlMs, waitMs }, call) => {
      check(sandboxId);
      changed(`createSnapshot ${ttlMs ?? ''} ${waitMs ?? ''}`, call);
      const made = { id: newId('snp'), sandboxId, label, sha256: 'a'.repeat(64), sizeBytes: 4_096n, createdAt: AT };
      const snapshot = { ...made, status: SnapshotStatus.READY, cause: SnapshotCause.ASKED };
      snapshots.set(snapshot.id, snapshot);
      return snapshot;
    },
    listSnapshots: ({ sandboxId }) => ({
      snapshots: [...snapshots.values()].filter((one) => isKept(one) && (!sandboxId || one.sandboxId === sandboxId)),
    }),
    getSnapshot: ({ id }) => found(id),
    deleteSnapshot: ({ id }, call) => {
      const snapshot = found(id);
      if (!isKept(snapshot)) throw refuse('NOTHING_TO_CHANGE', {});
      changed('deleteSnapshot', call);
      return Object.assign(snapshot, { status: SnapshotStatus.DELETED, reason: 'deleted_by_owner', deletedAt: AT });
    },
  });
}
