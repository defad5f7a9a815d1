/**
 * A sandbox's state as the message that callers see.
 * Promise: nothing is computed here that a receipt does not hold.
 */
import { graceEndsUs, type SandboxState, waitingFor } from '@tallystick/hosting';
import { OnEnd, SandboxStatus, SecurityMode, StopReason, WaitingFor } from '@tallystick/proto';
import { optionalInt64, optionalTime, timestampFromUs } from '../view-parts.ts';
import { egressPolicyMessage } from './egress.ts';
import { clampMessage } from './job.ts';

const STATUS: Record<string, SandboxStatus> = {
  starting: SandboxStatus.STARTING,
  running: SandboxStatus.RUNNING,
  frozen: SandboxStatus.FROZEN,
  stopping: SandboxStatus.STOPPING,
  ended: SandboxStatus.ENDED,
};

/** The catalogue of reasons, by the word that states use. */
const REASON = new Map(Object.entries(StopReason).map(([name, value]) => [name.toLowerCase(), value as StopReason]));

export function sandboxMessage(sandbox: SandboxState, receiptId: string) {
  const charged = BigInt(sandbox.charged_micros);
  const refunded = BigInt(sandbox.refunded_micros);
  return {
    ...identityOf(sandbox),
    ...shapeOf(sandbox),
    priceMicrosPerMinute: BigInt(sandbox.price_micros_per_minute),
    quantumMs: BigInt(sandbox.quantum_ms),
    priceMicrosPerQuantum: BigInt(sandbox.price_micros_per_quantum),
    minutesSold: BigInt(sandbox.minutes_sold),
    maxSpendMicros: BigInt(sandbox.max_spend_micros),
    spentMicros: charged - refunded,
    refundedMicros: refunded,
    ...timesOf(sandbox),
    ...needsOf(sandbox),
    clamps: sandbox.clamps.map(clampMessage),
    receiptId,
  };
}

const identityOf = (sandbox: SandboxState) => ({
  id: sandbox.id,
  jobId: sandbox.job,
  label: sandbox.label,
  status: STATUS[sandbox.status] ?? SandboxStatus.UNSPECIFIED,
  stopReason: REASON.get(sandbox.stop_reason) ?? StopReason.UNSPECIFIED,
  incarnation: sandbox.incarnation,
  provider: sandbox.provider,
  isolation: sandbox.isolation,
});

const shapeOf = (sandbox: SandboxState) => ({
  image: sandbox.image,
  imageDigest: sandbox.image_digest ?? '',
  fromSnapshotId: sandbox.from_snapshot ?? '',
  onEnd: sandbox.on_end === 'snapshot' ? OnEnd.SNAPSHOT : OnEnd.DISCARD,
  keptSnapshotId: sandbox.kept_snapshot ?? '',
  egress: egressPolicyMessage(sandbox.egress),
  securityMode: SecurityMode.STANDARD,
  cpuMillis: sandbox.cpu_millis,
  ramMib: sandbox.ram_mib,
  diskMib: sandbox.disk_mib,
});

const WAITING = { funds: WaitingFor.FUNDS, lease: WaitingFor.LEASE };

function needsOf(sandbox: SandboxState) {
  const what = waitingFor(sandbox);
  if (what === undefined) return { waitingFor: WaitingFor.UNSPECIFIED };
  return {
    waitingFor: WAITING[what],
    ...(what === 'funds' ? { fundsUntil: timestampFromUs(graceEndsUs(sandbox)) } : {}),
  };
}

const timesOf = (sandbox: SandboxState) => ({
  ttlMs: BigInt(sandbox.ttl_ms),
  ...optionalInt64('idleTimeoutMs', sandbox.idle_timeout_ms),
  lastActivityCause: sandbox.last_activity_cause,
  createdAt: timestampFromUs(sandbox.created_at_us),
  paidUntil: timestampFromUs(sandbox.paid_until_us),
  ...optionalTime('lastActivityAt', sandbox.last_activity_at_us),
  ...optionalTime('startedAt', sandbox.started_at_us),
  ...optionalTime('endsAt', sandbox.ends_at_us),
  ...optionalTime('stoppedAt', sandbox.stopped_at_us),
  ranMs: BigInt(sandbox.ran_ms ?? 0),
});
