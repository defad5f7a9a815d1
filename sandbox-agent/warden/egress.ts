/**
 * How far one sandbox reaches out: its policy, the broker that holds it to that, and what its commands are told of it.
 * Promise: a policy replaces only an older one; while there is none, there is no socket to ask at.
 */
import { join } from 'node:path';
import { type EgressMode, type EgressRule, readEgressRules } from '@tallystick/kernel/egress';
import { EgressBroker } from './egress-broker.ts';
import { EgressDecisions } from './egress-decisions.ts';
import type { EgressMachine } from './egress-dial.ts';
import { EgressFlow } from './egress-flow.ts';
import { EgressPassages } from './egress-passages.ts';
import { invalid, refused } from './fault.ts';
import type { Call, GuestLink } from './guest-link.ts';
import type { Level } from './image.ts';

/** Where programs inside find the proxy. */
export const EGRESS_PROXY_PORT = 3_128;
const PROXY = `http://127.0.0.1:${EGRESS_PROXY_PORT}`;
const NO_PROXY = 'localhost,127.0.0.1,::1';
const LISTEN_MS_MAX = 2_000;
const ENV_NAMES = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'http_proxy', 'https_proxy', 'all_proxy'];
/** Node's own fetch and http obey the names above only when it is told so. */
const ENV: Readonly<Record<string, string>> = {
  ...Object.fromEntries(ENV_NAMES.map((name) => [name, PROXY])),
  NO_PROXY,
  no_proxy: NO_PROXY,
  NODE_USE_ENV_PROXY: '1',
};

export interface EgressPolicy {
  /** Grows with every change; an older one is not taken. */
  serial: number;
  mode: EgressMode;
  allow: string[];
}

export const NO_EGRESS: EgressPolicy = { serial: 0, mode: 'none', allow: [] };

/** Modes that a machine of this level offers. */
export const egressKinds = (level: Level): EgressMode[] => (level === 'ns-lite' ? ['none'] : ['none', 'allowlist']);

/** @errors throws Fault `egress_not_offered` or `invalid` */
export function readEgress({ mode, allow }: EgressPolicy, offered: readonly EgressMode[]): EgressRule[] {
  if (!offered.includes(mode)) {
    const facts = { cap: 'egress', asked: mode, available: offered.join(' ') };
    throw refused('egress_not_offered', `this machine does not offer egress ${mode}`, facts);
  }
  if (mode !== 'allowlist' && allow.length > 0) throw invalid('only an allowlist has rules');
  const rules = readEgressRules(allow);
  if (!Array.isArray(rules))
    throw invalid(`the rule ${JSON.stringify(rules.rule)}: ${rules.error}`, { rule: rules.rule });
  return rules;
}

export interface EgressOptions {
  machine: EgressMachine;
  offered: readonly EgressMode[];
  /** It runs, and is paid for now. */
  mayPass(): boolean;
  nowUs(): number;
  mask(text: string): string;
  /** A policy has taken effect. */
  onChanged(policy: EgressPolicy): void;
}

/** Where the sandbox's end of it is. */
export interface EgressPlace {
  link: GuestLink;
  socketDirectory: string;
  ownerUid: number;
}

export class Egress {
  readonly decisions: EgressDecisions;
  readonly #options: EgressOptions;
  readonly #flow: EgressFlow;
  readonly #passages: EgressPassages;
  #policy: EgressPolicy;
  #place: EgressPlace | undefined;
  #broker: EgressBroker | undefined;
  #proxy: Call | undefined;

  /** @errors throws as `readEgress` does */
  constructor(options: EgressOptions, policy: EgressPolicy) {
    const rules = readEgress(policy, options.offered);
    this.#options = options;
    this.#policy = { ...policy, allow: rules.map(({ text }) => text) };
    this.decisions = new EgressDecisions(options.nowUs);
    this.#flow = new EgressFlow(options.mayPass);
    const { machine, mask } = options;
    this.#passages = new EgressPassages({ machine, mask, flow: this.#flow, decisions: this.decisions }, rules);
  }

  get policy(): EgressPolicy {
    return this.#policy;
  }

  /** What every command gets, unless it says otherwise itself. */
  get env(): Readonly<Record<string, string>> {
    return this.#policy.mode === 'none' ? {} : ENV;
  }

  view() {
    return { ...this.#policy, open: this.#passages.openCount, ...this.decisions.totals };
  }

  /** The sandbox runs. Resolves when its proxy port listens; it does not wait long for a guest that does not answer. */
  async start(place: EgressPlace): Promise<void> {
    this.#place = place;
    if (this.#policy.mode !== 'none') await this.#openWay(place);
  }

  /**
   * New connections are held to it at once, and open ones that it does not name are cut. An older one changes nothing.
   * @errors throws Fault `egress_not_offered` or `invalid`
   */
  async apply(policy: EgressPolicy): Promise<void> {
    const rules = readEgress(policy, this.#options.offered);
    if (policy.serial <= this.#policy.serial) return;
    this.#policy = { ...policy, allow: rules.map(({ text }) => text) };
    this.#passages.replace(rules);
    this.#options.onChanged(this.#policy);
    if (policy.mode === 'none') this.#closeWay();
    else if (this.#place && !this.#broker) await this.#openWay(this.#place);
  }

  async #openWay(place: EgressPlace): Promise<void> {
    this.#broker = new EgressBroker(this.#options.machine, this.#flow, this.#passages);
    this.#broker.listen(join(place.socketDirectory, 'egress.sock'), place.ownerUid);
    await this.#listenInside(place.link);
  }

  /** A port that a program of the tenant has taken stays its own: then only the variables lead astray. */
  async #listenInside(link: GuestLink): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const done = (): void => resolve();
    const timer = setTimeout(done, LISTEN_MS_MAX);
    try {
      this.#proxy = link.open(
        'forward',
        { port: EGRESS_PROXY_PORT },
        { onMeta: done, onEnd: done, onFault: done, onLost: done },
      );
      await promise;
    } catch {
      // The sandbox is ending, or has too many calls: the broker's socket is there all the same.
    }
    clearTimeout(timer);
  }

  #closeWay(): void {
    this.#proxy?.cancel();
    this.#broker?.close();
    this.#proxy = undefined;
    this.#broker = undefined;
  }

  /** It runs again. */
  wake(): void {
    this.#flow.wake();
  }

  /** It has ended: nothing stays open, and what was counted is told. */
  close(): void {
    this.#passages.close('sandbox_ended');
    this.#closeWay();
    this.#flow.close();
    this.decisions.close();
  }
}
