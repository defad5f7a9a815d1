/**
 * A job's state as the message that callers see.
 * Promise: what was spent is what its cap account says, not what anybody counted.
 */
import type { ClampState, JobState } from '@tallystick/hosting';
import { JobStatus } from '@tallystick/proto';
import { optionalInt64, optionalTime, timestampFromUs } from '../view-parts.ts';

const STATUS: Record<string, JobStatus> = {
  active: JobStatus.ACTIVE,
  stopped: JobStatus.STOPPED,
  expired: JobStatus.EXPIRED,
  stopped_due_to_budget: JobStatus.STOPPED_DUE_TO_BUDGET,
  stopped_due_to_idle: JobStatus.STOPPED_DUE_TO_IDLE,
};

/** Words of these statuses as states spell them. */
export const jobStatusWords = (statuses: readonly JobStatus[]): string[] =>
  Object.entries(STATUS).flatMap(([word, status]) => (statuses.includes(status) ? [word] : []));

export function jobMessage(job: JobState, more: { capAvailableMicros: bigint; receiptId: string }) {
  const maxTotalSpendMicros = BigInt(job.max_total_spend_micros);
  return {
    id: job.id,
    label: job.label,
    status: STATUS[job.status] ?? JobStatus.UNSPECIFIED,
    maxTotalSpendMicros,
    spentMicros: maxTotalSpendMicros - more.capAvailableMicros,
    remainingMicros: more.capAvailableMicros,
    ttlMs: BigInt(job.ttl_ms),
    ...optionalInt64('idleTimeoutMs', job.idle_timeout_ms),
    sandboxesMax: job.sandboxes_max,
    sandboxesRunning: job.sandboxes.length,
    createdAt: timestampFromUs(job.created_at_us),
    expiresAt: timestampFromUs(job.expires_at_us),
    ...optionalTime('stoppedAt', job.stopped_at_us),
    stopReason: job.stop_reason,
    clamps: job.clamps.map(clampMessage),
    receiptId: more.receiptId,
  };
}

/** Amounts are decimal strings in states, other limits are numbers: BigInt takes both. */
export const clampMessage = ({ field, requested, effective, rule }: ClampState) => ({
  field,
  requested: BigInt(requested),
  effective: BigInt(effective),
  rule,
});
