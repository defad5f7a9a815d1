/**
 * What was decided about one sandbox's ways out, newest last, for its owner to read by position.
 * Promise: bounded, and a tenant that asks in a loop gets its decisions counted instead of each one told.
 */
import { Waiters } from './waiters.ts';

/** Decisions that are kept of one sandbox. */
export const EGRESS_DECISIONS_KEPT_MAX = 1_000;
/** So many are told one by one, in a row and per second from then on; of the others the number is told. */
const BURST_MAX = 100;
const PER_S_MAX = 20;
const COUNT_AFTER_MS = 1_000;
export const EGRESS_PAGE_MAX = 200;

/**
 * `allowed` and connected, `denied` by a rule, `failed` to be reached although allowed, `closed` after it was allowed,
 * `suppressed`: so many decisions in a short time that only their number is kept.
 */
export type EgressOutcome = 'allowed' | 'denied' | 'failed' | 'closed' | 'suppressed';

export interface EgressDecision {
  /** 1 for the first of this sandbox's life. */
  seq: number;
  at_us: number;
  outcome: EgressOutcome;
  /** How it was asked: `connect`, `http` or `socks`; empty for `suppressed`. */
  via: string;
  host: string;
  port: number;
  /** The address that was checked and connected to; null when none was. */
  address: string | null;
  /** The rule that named the target; null when none did. */
  rule: string | null;
  /** Why it was denied, failed or closed, in one word; null otherwise. */
  reason: string | null;
  /** Of a connection that is closed: from the sandbox, and to it. */
  bytes_out: number;
  bytes_in: number;
  /** How many decisions this stands for. */
  count: number;
}

export type EgressTold = Omit<EgressDecision, 'seq' | 'at_us' | 'count'>;

const SUPPRESSED: EgressTold = {
  outcome: 'suppressed',
  via: '',
  host: '',
  port: 0,
  address: null,
  rule: null,
  reason: 'too_many',
  bytes_out: 0,
  bytes_in: 0,
};

export interface EgressTotals {
  allowed: number;
  denied: number;
  failed: number;
  bytes_out: number;
  bytes_in: number;
}

export class EgressDecisions {
  readonly totals: EgressTotals = { allowed: 0, denied: 0, failed: 0, bytes_out: 0, bytes_in: 0 };
  readonly #nowUs: () => number;
  readonly #kept: EgressDecision[] = [];
  readonly #waiters = new Waiters();
  #nextSeq = 1;
  #room = BURST_MAX;
  #filledAtMs = performance.now();
  #suppressed = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(nowUs: () => number) {
    this.#nowUs = nowUs;
  }

  add(told: EgressTold): void {
    const { outcome } = told;
    if (outcome === 'allowed' || outcome === 'denied' || outcome === 'failed') this.totals[outcome] += 1;
    this.totals.bytes_out += told.bytes_out;
    this.totals.bytes_in += told.bytes_in;
    if (this.#takeRoom()) {
      this.#tellSuppressed();
      this.#keep(told, 1);
      return;
    }
    this.#suppressed += 1;
    this.#timer ??= setTimeout(() => this.#tellSuppressed(), COUNT_AFTER_MS);
  }

  #takeRoom(): boolean {
    const nowMs = performance.now();
    this.#room = Math.min(BURST_MAX, this.#room + ((nowMs - this.#filledAtMs) / 1_000) * PER_S_MAX);
    this.#filledAtMs = nowMs;
    if (this.#room < 1) return false;
    this.#room -= 1;
    return true;
  }

  #tellSuppressed(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#suppressed > 0) this.#keep(SUPPRESSED, this.#suppressed);
    this.#suppressed = 0;
  }

  #keep(told: EgressTold, count: number): void {
    this.#kept.push({ seq: this.#nextSeq++, at_us: this.#nowUs(), ...told, count });
    if (this.#kept.length > EGRESS_DECISIONS_KEPT_MAX) this.#kept.shift();
    this.#waiters.wake();
  }

  /** Those after a position, at most EGRESS_PAGE_MAX; `first_seq` is the oldest that is still kept. */
  async read(after: number, waitMs: number) {
    await this.#waiters.until(() => this.#nextSeq - 1 > after, waitMs);
    const firstSeq = this.#kept[0]?.seq ?? this.#nextSeq;
    const decisions = this.#kept.slice(Math.max(0, after + 1 - firstSeq)).slice(0, EGRESS_PAGE_MAX);
    return { decisions, next_after: decisions.at(-1)?.seq ?? Math.min(after, this.#nextSeq - 1), first_seq: firstSeq };
  }

  /** What was counted and not told yet is told. */
  close(): void {
    this.#tellSuppressed();
    this.#waiters.wake();
  }
}
