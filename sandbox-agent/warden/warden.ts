/**
 * Holds the leases of one machine's sandboxes and makes the trees follow them.
 * Promise: no ticket, no start; no live lease, no running; a newer ticket in the grace time thaws everything intact.
 */
import { join } from 'node:path';
import type { Envelope } from '@tallystick/kernel';
import { type Admission, admitSpec, type SandboxSpec } from './admission.ts';
import type { Cgroup } from './cgroup.ts';
import { type Clock, REAPER_MARGIN_MS, WARDEN_MARGIN_MS } from './clock.ts';
import { removeDeadline, writeDeadline } from './deadline-file.ts';
import type { View } from './departed.ts';
import type { Disk } from './disk.ts';
import { egressKinds, NO_EGRESS, readEgress } from './egress.ts';
import type { EgressMachine } from './egress-dial.ts';
import { egressOf, type HeldEgressOptions } from './egress-held.ts';
import type { EventLog, EventName } from './events.ts';
import { type ExecEnd, Execs, execEndFacts } from './execs.ts';
import { type Facts, Fault, refused } from './fault.ts';
import { type Ground, HOST_UIDS } from './ground.ts';
import { cpuUs, type EndReason, type Held, leftMs, ranMs, stateOf, viewOf } from './held.ts';
import { admitTicket, type Lease, startingLease, startLease } from './lease.ts';
import { ReaperWatch } from './reaper-watch.ts';
import { Sandbox, START_MS_MAX } from './sandbox.ts';
import { Secrets } from './secrets.ts';
import { keepDisk, keptAs } from './snapshot-routes.ts';
import type { Snapshots } from './snapshots.ts';
import { becomeUrgent } from './urgency.ts';
import type { UsedNames } from './used-names.ts';
import { WarmPool, type WarmPoolOptions } from './warm-pool.ts';

export interface WardenOptions {
  ground: Ground;
  /** Raw Ed25519 key of who mints RunTickets. */
  leaseKey: Uint8Array;
  clock: Clock;
  events: EventLog;
  usedNames: UsedNames;
  admission: Admission;
  snapshots: Snapshots;
  /** Of the image as it is now, hex. */
  imageDigest: () => Promise<string>;
  /** The way out that its sandboxes share. */
  egress: EgressMachine;
  /** Ended with the last boot, and told of by this one. */
  departed?: readonly View[];
  /** Sandboxes booted ahead; absent: none. */
  warm?: Pick<WarmPoolOptions, 'size' | 'diskBytesMax' | 'spare'>;
}

/** Also the longest a step of the wall clock goes unseen. */
const LOOK_EVERY_MS = 50;
const HIGH_PRIORITY = -15;
/** Ended sandboxes that are still told of, with the output of their commands. */
const ENDED_KEPT_MAX = 64;

export class Warden {
  readonly reaper: ReaperWatch;
  readonly warm: WarmPool;
  readonly #options: WardenOptions;
  readonly #clock: Clock;
  readonly #egress: HeldEgressOptions;
  /** Live ones and the last ended ones, oldest first; the newest life of a sandbox only. */
  readonly #held = new Map<string, Held>();
  readonly #departed: Map<string, View>;
  #timer: NodeJS.Timeout | undefined;
  #slots = 0;

  constructor(options: WardenOptions) {
    this.#options = options;
    this.#clock = options.clock;
    const { clock, ground, egress: machine, departed = [] } = options;
    this.#departed = new Map(departed.map((view) => [view.sandbox, view]));
    this.#egress = {
      clock,
      machine,
      level: ground.level,
      tell: (held, event, facts) => this.#tell(held, event, facts),
    };
    becomeUrgent(HIGH_PRIORITY);
    this.reaper = new ReaperWatch(options.ground.deadlines, options.ground.root, () =>
      options.events.append('reaper_restarted', '', 0),
    );
    this.warm = new WarmPool({
      ground: options.ground,
      ...(options.warm ?? { size: 0, diskBytesMax: 0 }),
      freeUid: () => this.#freeUid(),
      nextSlot: () => this.#nextSlot(),
    });
    this.#arm();
  }

  // --- questions

  #live(): Held[] {
    return [...this.#held.values()].filter((held) => !held.ended);
  }

  list() {
    const held = [...this.#held.values()].map((one) => viewOf(one, this.#clock));
    return [...this.#departed.values(), ...held];
  }

  /** Undefined for a sandbox that was never here. */
  incarnationOf(name: string): number | undefined {
    return this.#held.get(name)?.incarnation;
  }

  /** @errors throws Fault `unknown_sandbox`. */
  held(name: string): Held {
    const held = this.#held.get(name);
    if (!held) throw new Fault('not_found', 'unknown_sandbox', `no sandbox ${name} on this machine`);
    return held;
  }

  view(name: string) {
    return this.#departed.get(name) ?? viewOf(this.held(name), this.#clock);
  }

  /** For work inside. @errors throws Fault `sandbox_ended` or `frozen`. */
  running(name: string): Held & { sandbox: Sandbox; execs: Execs } {
    const held = this.held(name);
    const state = stateOf(held);
    if (state === 'ended') throw new Fault('gone', 'sandbox_ended', 'the sandbox has ended', { ...held.ended });
    if (state !== 'running') throw refused(state === 'frozen' ? 'frozen' : 'starting', `the sandbox is ${state}`);
    return held as Held & { sandbox: Sandbox; execs: Execs };
  }

  touch(held: Held, cause: string): void {
    held.lastActivityUs = this.#nowUs();
    held.lastActivity = cause;
  }

  #nowUs(): number {
    return Math.round(this.#clock.wallMs() * 1_000);
  }

  // --- create

  /** Idempotent on (sandbox, incarnation). @errors rejects with a Fault that says which check refused; nothing is left then. */
  async create(spec: SandboxSpec, ticket: Envelope): Promise<Held> {
    const known = this.#held.get(spec.sandbox);
    if (known?.incarnation === spec.incarnation) return this.#repeated(known);
    if (known && !known.ended) {
      const facts = { live: known.incarnation, asked: spec.incarnation };
      throw new Fault('conflict', 'other_incarnation_live', 'another incarnation of this sandbox is live here', facts);
    }
    const highest = this.#options.usedNames.highest(spec.sandbox);
    if (spec.incarnation <= highest) {
      const facts = { highest, asked: spec.incarnation };
      throw new Fault('gone', 'incarnation_used', 'this incarnation has already lived on this machine', facts);
    }
    const shape = admitSpec(
      spec,
      this.#options.admission,
      this.#live().map((held) => held.shape),
    );
    readEgress(spec.egress ?? NO_EGRESS, egressKinds(this.#egress.level));
    const lease = this.#admit(ticket, spec, undefined);
    this.#options.usedNames.add(spec.sandbox, spec.incarnation);
    const held = this.#newHeld(spec, shape, lease);
    this.#departed.delete(spec.sandbox);
    this.#held.delete(spec.sandbox);
    this.#held.set(spec.sandbox, held);
    const created = this.#start(held);
    held.created = created;
    return created;
  }

  async #repeated(known: Held): Promise<Held> {
    await known.created;
    if (!known.ended) return known;
    throw new Fault('gone', 'sandbox_ended', 'the sandbox has ended', { ...known.ended });
  }

  #newHeld(spec: SandboxSpec, shape: Held['shape'], lease: Lease): Held {
    const warm = spec.from ? undefined : this.warm.claim(shape);
    const launcher = warm ? undefined : this.warm.spare.claim();
    const held: Held = {
      name: spec.sandbox,
      incarnation: spec.incarnation,
      image: spec.image,
      shape,
      graceMs: spec.grace_ms,
      hostUid: (warm ?? launcher)?.hostUid ?? this.#freeUid(),
      lease: startingLease(lease, START_MS_MAX),
      finish: undefined,
      sandbox: warm,
      launcher,
      booting: undefined,
      execs: undefined,
      secrets: new Secrets(spec),
      egress: egressOf(() => held, spec.egress, this.#egress),
      startedAtUs: this.#nowUs(),
      readyAtMonotonicMs: undefined,
      frozenAtMonotonicMs: undefined,
      frozenSinceUs: null,
      frozenTotalMs: 0,
      lastActivityUs: this.#nowUs(),
      lastActivity: 'start',
      cpuUs: 0,
      isEnding: false,
      isStilled: false,
      keepAs: spec.keep_as ?? undefined,
      from: spec.from ?? undefined,
      ended: undefined,
      created: Promise.resolve(),
    };
    return held;
  }

  #freeUid(): number {
    const { hostUidFirst } = this.#options.ground;
    const taken = new Set([...this.#live().map((held) => held.hostUid), ...this.warm.uids]);
    for (let uid = hostUidFirst; uid < hostUidFirst + HOST_UIDS; uid += 1) if (!taken.has(uid)) return uid;
    throw new Fault('busy', 'no_room', 'no free uid', { cap: HOST_UIDS, asked: 1, available: 0 });
  }

  /** Folder and cgroup of a sandbox, booted ahead or not: no name of a customer's stands in what a tenant may see. */
  #nextSlot(): string {
    this.#slots += 1;
    return `.${this.#slots}`;
  }

  async #start(held: Held): Promise<Held> {
    try {
      await this.#launch(held);
    } catch (fault) {
      const cause = fault instanceof Fault ? String(fault.facts['cause'] ?? fault.message) : (fault as Error).message;
      await this.#end(held, 'start_failed', cause);
      if (isAboutSnapshot(fault)) throw fault;
      throw refused('start_failed', `the sandbox did not start: ${cause}`, { cause });
    }
    return held;
  }

  async #launch(held: Held): Promise<void> {
    const isWarm = held.sandbox !== undefined;
    held.booting = isWarm ? undefined : this.#boot(held);
    const sandbox = held.sandbox ?? ((await held.booting) as Sandbox);
    held.sandbox = sandbox;
    held.execs = this.#execsOf(held, sandbox);
    sandbox.process.once('exit', () => this.#lost(held));
    if (!isWarm) await sandbox.ready();
    if (held.isEnding) throw new Error('ended while it started');
    held.lease = startLease(held.lease, this.#clock);
    held.readyAtMonotonicMs = this.#clock.monotonicMs();
    held.startedAtUs = this.#nowUs();
    this.#rewriteDeadline(held);
    if (isWarm) {
      this.warm.handOver(sandbox);
      sandbox.cgroup.thaw();
    }
    this.#tell(held, 'started');
    if (isWarm) this.#arm();
    else this.#look();
    await held.egress.start(sandbox);
  }

  #boot(held: Held): Promise<Sandbox> {
    const { ground } = this.#options;
    const { from, hostUid } = held;
    const restored = from && ((disk: Disk, uid: number) => this.#options.snapshots.restore(from, disk, uid));
    const beforeLaunch = (cgroup: Cgroup, directory: string): void =>
      this.#writeDeadline(held, cgroup.tree, cgroup.directories, directory);
    return held.launcher
      ? Sandbox.enter(ground, held.launcher, held.shape, beforeLaunch, restored)
      : Sandbox.launch(ground, this.#nextSlot(), hostUid, held.shape, beforeLaunch, restored);
  }

  #execsOf(held: Held, sandbox: Sandbox): Execs {
    return new Execs({
      link: sandbox.link,
      directory: join(this.#options.ground.logs, `${held.name}.${held.incarnation}`),
      oomKills: () => sandbox.cgroup.oomKills(),
      nowUs: () => this.#nowUs(),
      redactor: () => held.secrets.redactor(),
      onStarted: (execId) => {
        this.touch(held, 'exec');
        this.#tell(held, 'exec_started', { exec_id: execId });
      },
      onEnded: (exec) => {
        this.touch(held, 'exec');
        this.#tell(held, 'exec_ended', execEndFacts(exec));
      },
    });
  }

  // --- leases

  #admit(ticket: Envelope, expected: { sandbox: string; incarnation: number }, held: Lease | undefined): Lease {
    const { sandbox, incarnation } = expected;
    const lease = admitTicket(ticket, this.#options.leaseKey, { sandbox, incarnation }, held, this.#clock);
    if (!('rejection' in lease)) return lease;
    const facts = { rejection: lease.rejection, seq: held?.seq ?? null };
    throw refused(`ticket_${lease.rejection}`, `the RunTicket does not hold: ${lease.rejection}`, facts);
  }

  /** @errors throws Fault: a typed rejection of the ticket, `finishing`, or `sandbox_ended`. */
  renew(name: string, ticket: Envelope): void {
    const held = this.held(name);
    if (held.ended || held.isEnding) {
      throw new Fault('gone', 'sandbox_ended', 'the sandbox has ended', { ...held.ended });
    }
    if (held.finish) throw refused('finishing', 'no further ticket is taken: its end is announced');
    if (held.readyAtMonotonicMs === undefined) throw refused('starting', 'the sandbox is starting');
    held.lease = this.#admit(ticket, { sandbox: name, incarnation: held.incarnation }, held.lease);
    this.#rewriteDeadline(held);
    this.#tell(held, 'renewed');
    this.#look();
  }

  /**
   * Announces the end. The sooner of two announcements wins; a repetition changes nothing.
   * `atWallMs` null: at once. Resolves when an end at once is over.
   */
  async finish(name: string, incarnation: number, reason: EndReason, atWallMs: number | null): Promise<void> {
    const held = this.held(name);
    if (held.incarnation !== incarnation) {
      const facts = { here: held.incarnation, asked: incarnation };
      throw new Fault('conflict', 'other_incarnation', 'this is another incarnation', facts);
    }
    if (held.ended) return;
    const atMs = atWallMs ?? 0;
    if (!held.finish || atMs < held.finish.atWallMs) held.finish = { reason, atWallMs: atMs };
    this.#rewriteDeadline(held);
    if (atWallMs === null) await this.#end(held, held.finish.reason);
    else this.#look();
  }

  /** Always before the tree may run by it: a warden that hangs right after leaves the reaper informed. */
  #writeDeadline(held: Held, tree: string, cgroupDirectories: string[], sandboxDirectory: string): void {
    const { lease, finish } = held;
    writeDeadline(this.#options.ground.deadlines, {
      sandbox: held.name,
      incarnation: held.incarnation,
      seq: lease.seq,
      paidUntilMs: Math.min(lease.paidUntilMs, finish?.atWallMs ?? lease.paidUntilMs),
      endsAtMonotonicMs: lease.endsAtMonotonicMs,
      graceMs: this.#graceMs(held),
      tree,
      pid: held.sandbox?.process.pid,
      cgroupDirectories,
      sandboxDirectory,
    });
  }

  #rewriteDeadline(held: Held): void {
    const { sandbox } = held;
    if (sandbox) this.#writeDeadline(held, sandbox.cgroup.tree, sandbox.cgroup.directories, sandbox.directory);
  }

  #graceMs(held: Held): number {
    return held.finish || held.lease.isFinal ? 0 : held.graceMs;
  }

  // --- enforcement

  #arm(): void {
    const lefts = this.#live()
      .filter((held) => held.frozenAtMonotonicMs === undefined)
      .map((held) => leftMs(held, this.#clock, WARDEN_MARGIN_MS));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), Math.max(0, Math.min(LOOK_EVERY_MS, ...lefts)));
  }

  /** Makes what is so match what is paid. Level-triggered, so a missed moment is repaired by the next look. */
  #look(): void {
    const live = this.#live().filter((held) => !held.isEnding);
    // What is over stands still before the state of anything that may run is read.
    const isOver = (held: Held): boolean => leftMs(held, this.#clock, WARDEN_MARGIN_MS) <= 0;
    for (const held of live.filter(isOver)) this.#follow(held);
    for (const held of live) if (!held.isEnding && !isOver(held)) this.#follow(held);
    this.reaper.check();
    this.#arm();
  }

  /** The grace runs on monotonic time from the freeze: a wall clock that jumps ahead may freeze, never destroy. */
  #follow(held: Held): void {
    const left = leftMs(held, this.#clock, WARDEN_MARGIN_MS);
    const frozenAtMs = held.frozenAtMonotonicMs;
    if (left > 0) {
      if (!held.isStilled && (frozenAtMs !== undefined || held.sandbox?.cgroup.isFrozen())) this.#thaw(held);
      return;
    }
    if (held.readyAtMonotonicMs === undefined) return void this.#end(held, held.finish?.reason ?? 'start_failed');
    if (frozenAtMs === undefined) this.#freeze(held, -left);
    const frozenMs = this.#clock.monotonicMs() - (held.frozenAtMonotonicMs as number);
    if (frozenMs >= this.#graceMs(held)) void this.#end(held, held.finish?.reason ?? 'lease_ended');
  }

  #freeze(held: Held, lateMs: number): void {
    const cgroup = held.sandbox?.cgroup;
    const stoodStill = cgroup?.isFrozen() === true;
    cgroup?.freeze();
    // A tree that the reaper has killed already is empty, and an empty one does not count as frozen.
    const wasStopped = (stoodStill || cgroup?.pids().length === 0) && !held.isStilled;
    held.frozenAtMonotonicMs = wasStopped ? this.#reaperMomentMs(lateMs) : this.#clock.monotonicMs();
    held.frozenSinceUs = this.#nowUs();
    this.#tell(held, 'frozen', { late_ms: Math.round(lateMs), by_reaper: wasStopped });
  }

  /** When the reaper has acted while this process hung: `lateMs` after the warden's own moment it is now. */
  #reaperMomentMs(lateMs: number): number {
    const nowMs = this.#clock.monotonicMs();
    return Math.min(nowMs, nowMs - lateMs + WARDEN_MARGIN_MS - REAPER_MARGIN_MS);
  }

  #thaw(held: Held): void {
    held.sandbox?.cgroup.thaw();
    if (held.frozenAtMonotonicMs !== undefined) {
      held.frozenTotalMs += this.#clock.monotonicMs() - held.frozenAtMonotonicMs;
    }
    held.frozenAtMonotonicMs = undefined;
    held.frozenSinceUs = null;
    held.egress.wake();
    this.#tell(held, 'thawed');
  }

  #lost(held: Held): void {
    if (held.isEnding || held.readyAtMonotonicMs === undefined) return;
    const left = leftMs(held, this.#clock, WARDEN_MARGIN_MS);
    const isOver = left <= 0 && held.frozenAtMonotonicMs === undefined;
    if (isOver) held.frozenAtMonotonicMs = this.#reaperMomentMs(-left);
    const isOom = (held.sandbox?.cgroup.oomKills() ?? 0) > 0;
    const reasonOfLoss = isOom ? 'oom' : 'sandbox_lost';
    void this.#end(held, left <= 0 ? (held.finish?.reason ?? 'lease_ended') : reasonOfLoss);
  }

  async #end(held: Held, reason: EndReason, cause?: string): Promise<void> {
    if (held.isEnding) return;
    held.isEnding = true;
    if (held.readyAtMonotonicMs !== undefined && held.frozenAtMonotonicMs === undefined) {
      held.frozenAtMonotonicMs = this.#clock.monotonicMs();
      held.sandbox?.cgroup.freeze();
    }
    cpuUs(held);
    held.egress.close();
    const leftover = await this.#destroy(held, keptAs(held, reason));
    await held.execs?.endAll(execEndFor(reason, held.finish));
    held.secrets.wipe();
    held.ended = { reason, atUs: this.#nowUs(), ...(cause === undefined ? {} : { cause }) };
    this.#tell(held, 'ended', { reason, ...(cause ? { cause } : {}), ...(leftover ? { leftover } : {}) });
    this.#forgetOldest();
  }

  /** Returns what could not be removed, for the event; the reaper still holds its deadline then. */
  async #destroy(held: Held, keepAs: string | undefined): Promise<string | undefined> {
    const { snapshots, ground, imageDigest } = this.#options;
    // One that is ended while it starts is waited for: what is still being made could not be removed.
    const sandbox = held.sandbox ?? (await held.booting?.catch(() => undefined));
    const keep = async (): Promise<void> => {
      if (keepAs && sandbox) await keepDisk(snapshots, ground, { ...held, sandbox }, keepAs, await imageDigest());
    };
    try {
      await sandbox?.destroy(keep);
      removeDeadline(this.#options.ground.deadlines, held.name);
      return undefined;
    } catch (fault) {
      sandbox?.cgroup.kill();
      return (fault as Error).message;
    }
  }

  #forgetOldest(): void {
    const ended = [...this.#held.values()].filter((held) => held.ended);
    for (const held of ended.slice(0, -ENDED_KEPT_MAX)) {
      held.execs?.dropLogs();
      this.#held.delete(held.name);
    }
  }

  #tell(held: Held, event: EventName, facts: Facts = {}): void {
    const paid = { seq_of_lease: held.lease.seq, paid_until_us: held.lease.paidUntilMs * 1_000 };
    const used = { ran_ms: ranMs(held, this.#clock), cpu_us: cpuUs(held) };
    this.#options.events.append(event, held.name, held.incarnation, { ...paid, ...used, ...facts });
  }

  /** Stops everything, then the reaper. Resolves with what ended by that. */
  async close(): Promise<View[]> {
    const live = this.#live();
    await Promise.all([this.warm.close(), ...live.map((held) => this.#end(held, 'stopped'))]);
    await this.#options.snapshots.close();
    clearTimeout(this.#timer);
    await this.reaper.close();
    return live.filter(({ ended }) => ended).map((held) => viewOf(held, this.#clock));
  }
}

/** Told as it is: nobody mends it by trying again. */
const isAboutSnapshot = (fault: unknown): boolean => fault instanceof Fault && /^(unknown_)?snapshot/.test(fault.code);

/** An end that was announced is the end of the paid time, whatever the reason for selling no more; one at once kills. */
function execEndFor(reason: EndReason, finish: Held['finish']): ExecEnd {
  if (reason === 'lease_ended' || reason === 'oom' || reason === 'sandbox_lost') return { end: reason };
  const isAnnounced = finish?.reason === reason && finish.atWallMs > 0;
  return { end: isAnnounced ? 'lease_ended' : 'killed' };
}
