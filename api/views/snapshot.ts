/**
 * A snapshot's state as the message that callers see.
 * Promise: nothing is computed here that a receipt does not hold.
 */
import type { SnapshotState } from '@tallystick/hosting';
import { SnapshotCause, SnapshotStatus } from '@tallystick/proto';
import { optionalTime, timestampFromUs } from '../view-parts.ts';
import { clampMessage } from './job.ts';

const STATUS: Record<string, SnapshotStatus> = {
  making: SnapshotStatus.MAKING,
  ready: SnapshotStatus.READY,
  damaged: SnapshotStatus.DAMAGED,
  failed: SnapshotStatus.FAILED,
  deleted: SnapshotStatus.DELETED,
};

const CAUSE: Record<string, SnapshotCause> = { asked: SnapshotCause.ASKED, on_end: SnapshotCause.ON_END };

export const snapshotMessage = (state: SnapshotState, receiptId: string) => ({
  id: state.id,
  sandboxId: state.sandbox,
  jobId: state.job,
  label: state.label,
  status: STATUS[state.status] ?? SnapshotStatus.UNSPECIFIED,
  cause: CAUSE[state.cause] ?? SnapshotCause.UNSPECIFIED,
  reason: state.reason,
  sha256: state.sha256,
  sizeBytes: BigInt(state.bytes),
  diskMib: state.disk_mib,
  image: state.image,
  imageDigest: state.image_digest,
  provider: state.provider,
  createdAt: timestampFromUs(state.created_at_us),
  ...optionalTime('takenAt', state.taken_at_us),
  ...optionalTime('expiresAt', state.expires_at_us),
  ...optionalTime('deletedAt', state.deleted_at_us),
  clamps: state.clamps.map(clampMessage),
  receiptId,
});
