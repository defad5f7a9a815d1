/**
 * Brings one batch into the database: decide, one guarded round trip, and again when another process was first.
 * Promise: a batch commits whole or not at all; a lost connection is answered by sending the same keys again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { commandIdOf, type LogKey, type Rules } from '@tallystick/kernel';
import type pg from 'pg';
import { Connection, type Statement } from '../connection.ts';
import { codeOf, Fault, isOutage, isRefusedByDatabase } from '../fault.ts';
import { type Outcome, replayAnswer } from '../outcome.ts';
import type { SharedClock } from '../shared-clock.ts';
import { STATEMENTS } from '../statements.ts';
import { type Plan, planBatch } from './batch.ts';
import { Cache } from './cache.ts';
import { LOCK_AFTER_LOSSES, OUTAGE_MS_MAX, RECONNECT_MS } from './limits.ts';
import type { Pending } from './pending.ts';
import { commitParameters } from './write-set.ts';

const BEGIN: Statement = { name: 'begin', text: 'begin' };
const END: Statement = { name: 'end', text: 'commit' };

export interface CommitterOptions {
  config: pg.ClientConfig;
  shard: number;
  rules: Rules;
  logKey: LogKey;
  clock: SharedClock;
  /** Losses in a row before a batch takes the shard's row lock. */
  lockAfterLosses?: number;
}

/** Told about every command of a batch, exactly once each. */
export interface Audience {
  committed(plan: Plan): void;
  replayed(pending: Pending, outcome: Outcome): void;
  failed(pending: Pending, error: Error): void;
}

type RepeatRow = [principal: string, key: string, fingerprint: string, pos: number, answer: string];
interface Attempt {
  won: boolean;
  repeats: RepeatRow[];
}

export class Committer implements AsyncDisposable {
  readonly stats = { batches: 0, commands: 0, losses: 0, loads: 0, repeats: 0, planUs: 0, writeUs: 0 };
  readonly #options: CommitterOptions;
  readonly #audience: Audience;
  readonly #cache: Cache;
  readonly #connection: Connection;

  constructor(options: CommitterOptions, audience: Audience) {
    this.#options = options;
    this.#audience = audience;
    this.#cache = new Cache(options.rules);
    this.#connection = new Connection(options.config);
  }

  get connects(): number {
    return this.#connection.connects;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#connection[Symbol.asyncDispose]();
  }

  /** Never rejects: whatever happens, the audience is told about every command. */
  async commit(batch: readonly Pending[]): Promise<void> {
    const deadlineMs = Date.now() + OUTAGE_MS_MAX;
    let open = batch;
    let losses = 0;
    while (open.length > 0) {
      try {
        const attempt = await this.#attempt(open, losses);
        if (!attempt || attempt.won) return;
        losses += attempt.repeats.length === 0 ? 1 : 0;
        open = this.#answerRepeats(open, attempt.repeats);
      } catch (error) {
        await this.#forget();
        if (isRefusedByDatabase(error)) return this.#isolate(open, codeOf(error));
        if (!isOutage(error) || Date.now() > deadlineMs) return this.#failAll(open, error as Error);
        await sleep(RECONNECT_MS); // what did commit before the outage comes back as a repeat
      }
    }
  }

  /** Undefined when no command was left to write. */
  async #attempt(batch: readonly Pending[], losses: number): Promise<Attempt | undefined> {
    const locking = losses >= (this.#options.lockAfterLosses ?? LOCK_AFTER_LOSSES);
    if (locking) {
      await this.#connection.query(BEGIN, []);
      await this.#connection.query(STATEMENTS.lockShard, [this.#options.shard]);
    }
    const plan = await this.#plan(batch, losses > 0);
    const attempt = plan.settled.length > 0 ? await this.#write(plan) : undefined;
    if (locking) await this.#connection.query(END, []);
    if (!attempt || attempt.won) this.#settle(plan);
    else this.stats.losses += attempt.repeats.length === 0 ? 1 : 0;
    return attempt;
  }

  async #plan(batch: readonly Pending[], isStale: boolean): Promise<Plan> {
    const { rules, shard, logKey, clock } = this.#options;
    await clock.freshen(this.#connection);
    const needs = batch.map((pending) => pending.needs);
    if (isStale || !this.#cache.covers(needs)) {
      this.stats.loads++;
      await this.#cache.load(this.#connection, shard, needs);
    }
    const startedUs = performance.now() * 1000;
    const now = clock.nowUs();
    const atUs = now > this.#cache.atUs ? now : this.#cache.atUs;
    const plan = planBatch({ rules, cache: this.#cache, shard, issuer: logKey.origin, atUs }, batch);
    this.stats.planUs += performance.now() * 1000 - startedUs;
    const { missingHolds } = plan.draft;
    if (missingHolds.length === 0) return plan;
    await this.#cache.loadHolds(this.#connection, shard, missingHolds);
    return this.#plan(batch, false);
  }

  async #write({ move, set }: Plan): Promise<Attempt> {
    const startedUs = performance.now() * 1000;
    const values = commitParameters(move, set);
    const [row] = await this.#connection.query<{ won: number; repeats: RepeatRow[] | null }>(STATEMENTS.commit, values);
    this.stats.writeUs += performance.now() * 1000 - startedUs;
    return { won: row!.won === 1, repeats: row!.repeats ?? [] };
  }

  #settle(plan: Plan): void {
    for (const { pending, error } of plan.bugs) this.#audience.failed(pending, error);
    if (plan.settled.length === 0) return;
    plan.draft.keep(plan.frontier, plan.move.atUs);
    this.stats.batches++;
    this.stats.commands += plan.settled.length;
    this.#audience.committed(plan);
  }

  /** Returns the commands that still wait. */
  #answerRepeats(batch: readonly Pending[], repeats: readonly RepeatRow[]): Pending[] {
    const known = new Map(repeats.map((row) => [commandIdOf({ principal: row[0], key: row[1] }), row]));
    this.stats.repeats += known.size;
    return batch.filter((pending) => {
      const row = known.get(pending.id);
      if (!row) return true;
      const [, , fingerprint, pos, answer] = row;
      this.#audience.replayed(
        pending,
        replayAnswer(this.#options.shard, pos, answer, fingerprint === pending.fingerprint),
      );
      return false;
    });
  }

  /** One bad command must not stop the others: halves are tried apart until it stands alone, then it is quarantined. */
  async #isolate(batch: readonly Pending[], sqlstate: string): Promise<void> {
    const [only] = batch;
    if (batch.length > 1) {
      const middle = batch.length >> 1;
      await this.commit(batch.slice(0, middle));
      return this.commit(batch.slice(middle));
    }
    if (only!.quarantinedFor)
      return this.#failAll(batch, new Fault(`the database refuses the quarantine: ${sqlstate}`));
    only!.quarantinedFor = sqlstate;
    return this.commit(batch);
  }

  #failAll(batch: readonly Pending[], cause: Error): void {
    const fault = cause instanceof Fault ? cause : new Fault('outcome unknown: repeat with the same key', { cause });
    for (const pending of batch) this.#audience.failed(pending, fault);
  }

  /** After any error memory is worth nothing, and neither is the connection. */
  async #forget(): Promise<void> {
    this.#cache.drop();
    await this.#connection.drop();
  }
}
