/**
 * The signed lease and the arithmetic of its deadline; no timer, no file, no process.
 * Promise: skew, replay and delay can only shorten what was paid; a refusal is one typed word.
 */
import { type Envelope, openEnvelope, RUN_TICKET_TYPE, type RunTicket, readRunTicket } from '@tallystick/kernel';
import { type Bounds, type Clock, remainingMs, WARDEN_MARGIN_MS } from './clock.ts';

export interface Lease extends Bounds {
  sandbox: string;
  incarnation: number;
  /** Grows strictly; a ticket that does not exceed it is a replay. */
  seq: number;
  durationMs: number;
  /** No ticket will follow: at the end there is no grace. */
  isFinal: boolean;
}

export type TicketRejection =
  | 'bad_signature'
  | 'malformed'
  | 'other_sandbox'
  | 'other_incarnation'
  | 'old_seq'
  | 'already_over';

export const TICKET_DURATION_MS_MAX = 24 * 3_600_000;

function openTicket(envelope: Envelope, publicKey: Uint8Array): RunTicket | { rejection: TicketRejection } {
  const payload = openEnvelope(envelope, RUN_TICKET_TYPE, publicKey);
  if (!payload) return { rejection: 'bad_signature' };
  const ticket = readRunTicket(payload);
  if ('error' in ticket) return { rejection: 'malformed' };
  const isSane = ticket.duration_ms > 0 && ticket.duration_ms <= TICKET_DURATION_MS_MAX;
  return isSane ? ticket : { rejection: 'malformed' };
}

/**
 * Decides over one ticket; `held` is the lease it would follow. The order of the checks is part of the contract.
 * Monotonic time adds up: a ticket that arrives early starts where the last one ends, or every early renewal would lose
 * the time by which it was early. One that arrives late starts now.
 */
export function admitTicket(
  envelope: Envelope,
  publicKey: Uint8Array,
  expected: { sandbox: string; incarnation: number },
  held: Lease | undefined,
  clock: Clock,
): Lease | { rejection: TicketRejection } {
  const ticket = openTicket(envelope, publicKey);
  if ('rejection' in ticket) return ticket;
  if (ticket.sandbox !== expected.sandbox) return { rejection: 'other_sandbox' };
  if (ticket.incarnation !== expected.incarnation) return { rejection: 'other_incarnation' };
  if (held && ticket.seq <= held.seq) return { rejection: 'old_seq' };
  const startsAtMonotonicMs = Math.max(held?.endsAtMonotonicMs ?? 0, clock.monotonicMs());
  const lease: Lease = {
    ...expected,
    seq: ticket.seq,
    durationMs: ticket.duration_ms,
    isFinal: ticket.final,
    paidUntilMs: Number(BigInt(ticket.paid_until_us) / 1_000n),
    endsAtMonotonicMs: startsAtMonotonicMs + ticket.duration_ms,
  };
  return remainingMs(lease, clock, WARDEN_MARGIN_MS) > 0 ? lease : { rejection: 'already_over' };
}

/** The first lease counts from the moment the sandbox is ready; `paid_until` still bounds it. */
export function startLease(lease: Lease, clock: Clock): Lease {
  return { ...lease, endsAtMonotonicMs: clock.monotonicMs() + lease.durationMs };
}

/** What the reaper is told while a sandbox starts: the start's own bound comes on top, `paid_until` still bounds it. */
export function startingLease(lease: Lease, startMsMax: number): Lease {
  return { ...lease, endsAtMonotonicMs: lease.endsAtMonotonicMs + startMsMax };
}
