/**
 * Ways out of a sandbox, as the port to providers has them.
 * Promise: members are spelled as on the wire.
 */
import type { EgressMode } from '@tallystick/kernel/egress';

export interface EgressPolicy {
  /** From 1; grows with every change, and an older policy is not taken. */
  serial: number;
  mode: EgressMode;
  /** Rules of an allowlist: `host:ports`. */
  allow: string[];
}

export interface EgressOrder extends EgressPolicy {
  incarnation: number;
}

/** What holds now, and what has passed. */
export interface EgressView extends EgressPolicy {
  /** Connections that are open. */
  open: number;
  allowed: number;
  denied: number;
  failed: number;
  /** Of closed connections: from the sandbox, and to it. */
  bytes_out: number;
  bytes_in: number;
}

export interface EgressDecision {
  /** 1 for the first of this life of the sandbox. */
  seq: number;
  at_us: number;
  outcome: 'allowed' | 'denied' | 'failed' | 'closed' | 'suppressed';
  /** `connect`, `http` or `socks`; empty for `suppressed`. */
  via: string;
  host: string;
  port: number;
  /** The address that was checked and connected to. */
  address: string | null;
  rule: string | null;
  /** One word. */
  reason: string | null;
  bytes_out: number;
  bytes_in: number;
  /** How many decisions this one stands for. */
  count: number;
}

export interface EgressPage extends EgressView {
  /** Oldest first. */
  decisions: EgressDecision[];
  /** Pass it as `after` next time. */
  next_after: number;
  /** The oldest that is still held. */
  first_seq: number;
}

/** @errors every method rejects with ProviderFault only */
export interface EgressCalls {
  /** For new connections at once; open ones that it no longer names are cut. An older serial changes nothing. */
  setEgress(sandbox: string, order: EgressOrder): Promise<EgressView>;
  /** Decisions after a position; waits so long for one to come. */
  egress(sandbox: string, after?: number, waitMs?: number): Promise<EgressPage>;
}
