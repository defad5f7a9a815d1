/**
 * Ways out as the messages that callers see.
 * Promise: nothing is left out of what the machine told.
 */
import type {
  EgressDecision as Decided,
  EgressView as Held,
  EgressPage as Page,
} from '@tallystick/engine/adapters/provider';
import type { EgressState } from '@tallystick/hosting';
import { EgressMode, EgressOutcome } from '@tallystick/proto';
import { timestampFromUs } from '../view-parts.ts';

const MODE: Record<string, EgressMode> = {
  none: EgressMode.NONE,
  allowlist: EgressMode.ALLOWLIST,
  open: EgressMode.OPEN,
};

const OUTCOME: Record<Decided['outcome'], EgressOutcome> = {
  allowed: EgressOutcome.ALLOWED,
  denied: EgressOutcome.DENIED,
  failed: EgressOutcome.FAILED,
  closed: EgressOutcome.CLOSED,
  suppressed: EgressOutcome.SUPPRESSED,
};

/** As rules and machines spell it; `none` when absent. */
export const egressWord = (mode: EgressMode): string => Object.keys(MODE).find((word) => MODE[word] === mode) ?? 'none';

export const egressPolicyMessage = (policy: Pick<EgressState, 'mode' | 'allow'> | undefined) => ({
  mode: MODE[policy?.mode ?? 'none'] ?? EgressMode.NONE,
  allow: policy?.allow ?? [],
});

/** A decision in the words of the contract. */
export const egressDecisionMessage = ({ seq, at_us, outcome, via, host, port, count, ...decided }: Decided) => ({
  seq: BigInt(seq),
  at: timestampFromUs(BigInt(Math.trunc(at_us))),
  outcome: OUTCOME[outcome],
  via,
  host,
  port,
  address: decided.address ?? '',
  rule: decided.rule ?? '',
  reason: decided.reason ?? '',
  bytesOut: BigInt(decided.bytes_out),
  bytesIn: BigInt(decided.bytes_in),
  count,
});

export const egressMessage = (sandboxId: string, held: Held & Partial<Page>, receiptId: string) => ({
  sandboxId,
  policy: egressPolicyMessage(held),
  serial: BigInt(held.serial),
  open: held.open,
  allowed: BigInt(held.allowed),
  denied: BigInt(held.denied),
  failed: BigInt(held.failed),
  bytesOut: BigInt(held.bytes_out),
  bytesIn: BigInt(held.bytes_in),
  decisions: (held.decisions ?? []).map(egressDecisionMessage),
  nextAfter: BigInt(held.next_after ?? 0),
  firstSeq: BigInt(held.first_seq ?? 0),
  receiptId,
});
