/**
 * How a sandbox ends: first no further step is sold, then its provider says that it is over, then the money is parted.
 * Promise: whatever ends has one typed reason; what was paid and not delivered goes back, at most once.
 */
import {
  type Accepted,
  CAP_SPENT,
  type DomainEvent,
  escrowAccount,
  jobCapAccount,
  jobSlotAccount,
  type OutboxMessage,
  type Posting,
  providerAccount,
  type Seen,
  SLOT_RUNNING,
  sandboxCapAccount,
  userAccount,
} from '@tallystick/kernel';
import { escrowMicros, refundMicros, smallerOf, stoppedAtUs } from './lease.ts';
import { returned } from './quota.ts';
import { evolveSandbox, type SandboxState } from './sandbox-state.ts';
import { clearedTimers, endTimer } from './timers.ts';

export type StopReason =
  | 'stopped_by_owner'
  | 'sandbox_cap'
  | 'job_cap'
  | 'job_ttl'
  | 'sandbox_ttl'
  | 'idle'
  | 'insufficient_funds'
  | 'policy'
  | 'provider_lost'
  | 'oom'
  | 'start_failed';

/**
 * No further step will be sold; the machine stops at `endsAtUs`, at once when that is not in the future.
 * `rule` names the one that decided it where the reason alone does not.
 */
export function stopping(state: SandboxState, seen: Seen, reason: string, endsAtUs: bigint, rule = reason): Accepted {
  const body = { reason, ends_at_us: String(endsAtUs), job: state.job };
  return {
    events: [{ type: 'SandboxStopping', body }],
    timers: [...clearedTimers(state, 'start', 'lease', 'ttl'), endTimer(state, endsAtUs)],
    outbox: [finishMessage(state, reason, endsAtUs > seen.atUs ? String(endsAtUs) : null)],
    rule,
  };
}

/** Tells the machine that no further ticket will come; `atUs` null: stop at once. */
export const finishMessage = (state: SandboxState, reason: string, atUs: string | null): OutboxMessage => ({
  topic: 'finish-sandbox',
  body: { sandbox: state.id, incarnation: state.incarnation, provider: state.provider, reason, at_us: atUs },
});

/** How the machine ended, as far as anybody knows. */
export interface End {
  reason: string;
  /** It ran at most until then. */
  atUs: bigint;
  ranMs: number;
  cpuUs: string;
}

/** Parts the money: back to the payer what was not delivered, to the provider the rest; slots and caps go back. */
export function ended(state: SandboxState, end: End): Accepted {
  const untilUs = stoppedAtUs(state, end.atUs);
  const refund = refundMicros(state, untilUs, end.ranMs);
  const settled = escrowMicros(state) - refund;
  const event: DomainEvent = {
    type: 'SandboxEnded',
    body: {
      reason: end.reason,
      stopped_at_us: String(untilUs),
      refunded_micros: String(refund),
      settled_micros: String(settled),
      ran_ms: end.ranMs,
      cpu_us: end.cpuUs,
      is_unfunded: state.is_unfunded,
      job: state.job,
    },
  };
  return {
    events: [event],
    postings: partingPostings(state, refund, settled),
    timers: clearedTimers(state, 'start', 'lease', 'ttl', 'end'),
    rule: end.reason,
    answer: { sandbox: evolveSandbox(state, event) },
  };
}

function partingPostings(state: SandboxState, refund: bigint, settled: bigint): Posting[] {
  const escrow = escrowAccount(state.id);
  const postings: Posting[] = [
    { asset: 'usd', debit: escrow, credit: userAccount(state.owner), amountMicros: refund },
    { asset: 'usd', debit: escrow, credit: providerAccount(state.provider), amountMicros: settled },
    { asset: 'cap', debit: CAP_SPENT, credit: jobCapAccount(state.job), amountMicros: refund },
    { asset: 'cap', debit: CAP_SPENT, credit: sandboxCapAccount(state.id), amountMicros: refund },
    { asset: 'slot', debit: SLOT_RUNNING, credit: jobSlotAccount(state.job), amountMicros: 1n },
    ...returned(state.owner, state.day, smallerOf(refund, BigInt(state.day_charged_micros))),
  ];
  return postings.filter(({ amountMicros }) => amountMicros > 0n);
}
