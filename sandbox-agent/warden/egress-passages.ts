/**
 * The ways out of one sandbox that are open, and the one place where another is decided.
 * Promise: what no rule names is denied; what a new policy no longer names is cut; every decision and end is told once.
 */
import type { Socket } from 'node:net';
import { type EgressRule, type EgressTarget, egressRuleFor } from '@tallystick/kernel/egress';
import type { EgressDecisions, EgressTold } from './egress-decisions.ts';
import { dial, type EgressMachine, waysTo } from './egress-dial.ts';
import type { EgressFlow } from './egress-flow.ts';

/** Look-ups and dials of one sandbox at once. */
export const EGRESS_DIALS_MAX = 32;
/** Requests of one sandbox: so many at once, and per second from then on. */
const REQUESTS_BURST_MAX = 400;
const REQUESTS_PER_S_MAX = 200;
const CODE = /^E[A-Z0-9]{2,30}$/;

export interface PassagesOptions {
  machine: EgressMachine;
  /** Nothing is looked up, dialled or passed while it is shut. */
  flow: EgressFlow;
  decisions: EgressDecisions;
  /** Takes released secrets out of what is told. */
  mask(text: string): string;
}

/** A connection to a checked address. */
export interface Passage {
  socket: Socket;
}

export interface Refusal {
  outcome: 'denied' | 'failed';
  /** One word. */
  reason: string;
  rule: string | null;
}

interface OpenPassage extends Passage {
  target: EgressTarget;
  /** Why it is being cut. */
  cutFor: string | null;
}

export const isRefusal = (result: Passage | Refusal): result is Refusal => 'outcome' in result;

const NOWHERE: EgressTarget = { host: '', port: 0 };
const denied = (reason: string, rule: EgressRule | null = null): Refusal => {
  return { outcome: 'denied', reason, rule: rule?.text ?? null };
};
const failed = (reason: string, rule: EgressRule): Refusal => ({ outcome: 'failed', reason, rule: rule.text });

/** The system's word for why a dial failed, or `timeout`. */
function reasonOf(fault: unknown): string {
  const { code, message } = fault as NodeJS.ErrnoException;
  if (message === 'timeout') return message;
  return CODE.test(code ?? '') ? (code as string).toLowerCase() : 'unreachable';
}

export class EgressPassages {
  readonly #options: PassagesOptions;
  readonly #open = new Set<OpenPassage>();
  #rules: readonly EgressRule[];
  #dials = 0;
  #requestsLeft = REQUESTS_BURST_MAX;
  #refilledAtMs = performance.now();
  #isClosed = false;

  constructor(options: PassagesOptions, rules: readonly EgressRule[]) {
    this.#options = options;
    this.#rules = rules;
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** For new connections at once; what is open and no longer named is cut. */
  replace(rules: readonly EgressRule[]): void {
    this.#rules = rules;
    for (const passage of this.#open) if (!egressRuleFor(rules, passage.target)) this.#cut(passage, 'policy_changed');
  }

  close(reason: string): void {
    this.#isClosed = true;
    this.#rules = [];
    for (const passage of this.#open) this.#cut(passage, reason);
  }

  /** A way to the target, or why there is none; `undefined` is what could not be read as a target. */
  async open(via: string, target: EgressTarget | undefined): Promise<Passage | Refusal> {
    const result = target ? await this.#way(via, target) : denied('bad_target');
    if (isRefusal(result)) this.#tell(via, target ?? NOWHERE, result);
    return result;
  }

  #tell(via: string, { host, port }: EgressTarget, told: Partial<EgressTold> & Pick<EgressTold, 'outcome'>): void {
    const plain = { address: null, rule: null, reason: null, bytes_out: 0, bytes_in: 0 };
    this.#options.decisions.add({ ...plain, via, host: this.#options.mask(host), port, ...told });
  }

  async #way(via: string, target: EgressTarget): Promise<Passage | Refusal> {
    const rule = egressRuleFor(this.#rules, target);
    if (!rule) return denied('no_rule');
    if (!this.#takeRequest()) return denied('too_many_requests', rule);
    if (this.#dials >= EGRESS_DIALS_MAX) return denied('too_many_dials', rule);
    this.#dials += 1;
    try {
      return await this.#reach(via, target, rule);
    } finally {
      this.#dials -= 1;
    }
  }

  #takeRequest(): boolean {
    const nowMs = performance.now();
    const refilled = this.#requestsLeft + ((nowMs - this.#refilledAtMs) / 1_000) * REQUESTS_PER_S_MAX;
    this.#requestsLeft = Math.min(REQUESTS_BURST_MAX, refilled);
    this.#refilledAtMs = nowMs;
    if (this.#requestsLeft < 1) return false;
    this.#requestsLeft -= 1;
    return true;
  }

  async #reach(via: string, target: EgressTarget, rule: EgressRule): Promise<Passage | Refusal> {
    const { flow, machine } = this.#options;
    await flow.opened();
    const ways = await waysTo(target.host, machine);
    if (!Array.isArray(ways))
      return ways.reason === 'not_found' ? failed('not_found', rule) : denied(ways.reason, rule);
    let reason = 'unreachable';
    for (const address of ways) {
      await flow.opened();
      if (!this.#isNamed(target)) return denied('policy_changed');
      try {
        return this.#keep(via, target, rule, address, await dial(address, target.port));
      } catch (fault) {
        reason = reasonOf(fault);
      }
    }
    return failed(reason, rule);
  }

  /** The policy may have changed during a look-up or a dial. */
  #isNamed(target: EgressTarget): boolean {
    return !this.#isClosed && egressRuleFor(this.#rules, target) !== undefined;
  }

  #keep(via: string, target: EgressTarget, rule: EgressRule, address: string, socket: Socket): Passage | Refusal {
    if (!this.#isNamed(target)) {
      socket.destroy();
      return denied('policy_changed');
    }
    const passage: OpenPassage = { target, socket, cutFor: null };
    this.#open.add(passage);
    this.#tell(via, target, { outcome: 'allowed', address, rule: rule.text });
    socket.once('close', () => {
      this.#open.delete(passage);
      const bytes = { bytes_out: socket.bytesWritten, bytes_in: socket.bytesRead };
      this.#tell(via, target, { outcome: 'closed', address, rule: rule.text, reason: passage.cutFor, ...bytes });
    });
    return passage;
  }

  #cut(passage: OpenPassage, reason: string): void {
    passage.cutFor ??= reason;
    this.#open.delete(passage);
    passage.socket.destroy();
  }
}
