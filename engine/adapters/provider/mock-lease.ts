/**
 * The lease laws as the mock keeps them, on an injected clock; the same suite holds them equal to the warden's.
 * Promise: pure; skew and replay can only shorten what was paid.
 */
import { type Envelope, openEnvelope, RUN_TICKET_TYPE, readRunTicket } from '@tallystick/kernel';
import { ProviderFault } from './port.ts';

export interface MockClock {
  /** Milliseconds since 1970. */
  wallMs(): number;
  /** Milliseconds that only grow; may equal `wallMs` in a test. */
  monotonicMs(): number;
}

export interface MockLease {
  seq: number;
  paidUntilMs: number;
  endsAtMonotonicMs: number;
  durationMs: number;
  isFinal: boolean;
}

const reject = (word: string): ProviderFault =>
  new ProviderFault('refused', `ticket_${word}`, `the RunTicket does not hold: ${word}`, { rejection: word });

/** @errors throws ProviderFault `ticket_...` */
export function admit(
  envelope: Envelope,
  leaseKey: Uint8Array,
  expected: { sandbox: string; incarnation: number },
  held: MockLease | undefined,
  clock: MockClock,
  marginMs: number,
): MockLease {
  const payload = openEnvelope(envelope, RUN_TICKET_TYPE, leaseKey);
  if (!payload) throw reject('bad_signature');
  const ticket = readRunTicket(payload);
  if ('error' in ticket || ticket.duration_ms === 0) throw reject('malformed');
  if (ticket.sandbox !== expected.sandbox) throw reject('other_sandbox');
  if (ticket.incarnation !== expected.incarnation) throw reject('other_incarnation');
  if (held && ticket.seq <= held.seq) throw reject('old_seq');
  const startsAtMs = Math.max(held?.endsAtMonotonicMs ?? 0, clock.monotonicMs());
  const lease = {
    seq: ticket.seq,
    paidUntilMs: Number(BigInt(ticket.paid_until_us) / 1_000n),
    endsAtMonotonicMs: startsAtMs + ticket.duration_ms,
    durationMs: ticket.duration_ms,
    isFinal: ticket.final,
  };
  if (leaseLeftMs(lease, clock) <= marginMs) throw reject('already_over');
  return lease;
}

export function leaseLeftMs(lease: MockLease, clock: MockClock): number {
  return Math.min(lease.paidUntilMs - clock.wallMs(), lease.endsAtMonotonicMs - clock.monotonicMs());
}
