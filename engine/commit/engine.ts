/**
 * The engine of one shard: everything that happens goes through `execute`.
 * Promise: an answer is given only after its receipt is durable and signed for; a key is carried out at most once by anyone.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Command, commandIdOf, type LogKey, type Rules, SHARD_MAX } from '@tallystick/kernel';
import pg from 'pg';
import type { Statement } from '../connection.ts';
import type { Database, Role } from '../database/database.ts';
import { Fault, isOutage } from '../fault.ts';
import type { Outcome } from '../outcome.ts';
import { createSharedClock, fixedClock, type SharedClock } from '../shared-clock.ts';

import type { Plan } from './batch.ts';
import { Committer } from './committer.ts';
import { HeadWatch } from './head-watch.ts';
import { BATCH_COMMANDS_MAX, HEAD_POLL_MS, QUEUE_COMMANDS_MAX, READ_CONNECTIONS_MAX } from './limits.ts';
import { type Pending, pendingOf } from './pending.ts';
import { Signer } from './signer.ts';

export interface EngineOptions {
  database: Database;
  role: Exclude<Role, 'owner'>;
  rules: Rules;
  logKey: LogKey;
  /** Name of the log; must be the key's. */
  origin?: string;
  /** 0 by default. */
  shard?: number;
  /** Microseconds since 1970; absent: the database's time. */
  nowUs?: () => bigint;
  /** Commands that may wait at once. */
  queueCommandsMax?: number;
  /** Losses in a row before a batch takes the shard's row lock. */
  lockAfterLosses?: number;
}

export interface Engine extends AsyncDisposable {
  readonly shard: number;
  readonly origin: string;
  readonly rules: Rules;
  readonly logKey: LogKey;
  readonly stats: Readonly<Committer['stats']> & { readonly connects: number; readonly waiting: number };
  nowUs(): bigint;
  /**
   * Resolves with the outcome, a rejection included; for a used key with the first outcome, or CONFLICT.
   * @errors rejects with Fault when the outcome is unknown (repeat with the same key), with the rule's own error when it threw.
   */
  execute(command: Command): Promise<Outcome>;
  /** Calls with the new head after every commit that this engine made or, while `watchHead` runs, heard of. Returns an end to it. */
  onCommit(listener: (head: number) => void): () => void;
  /** Also notices the commits of other processes, by hints and by polling every `everyMs`. Returns an end to it. */
  watchHead(everyMs?: number): () => Promise<void>;
  /** Resolves when nothing waits any more, reactions included. */
  settled(): Promise<void>;
  /** Runs one of the named statements on a reading connection. */
  query<R extends pg.QueryResultRow>(statement: Statement, values: unknown[]): Promise<R[]>;
}

/** @errors throws TypeError when the origin is not the log key's, or the shard is out of range. */
export function createEngine(options: EngineOptions): Engine {
  const { origin, logKey, shard = 0 } = options;
  if (origin !== undefined && origin !== logKey.origin)
    throw new TypeError(`the log key is for ${logKey.origin}, not for ${origin}`);
  if (!Number.isInteger(shard) || shard < 0 || shard > SHARD_MAX)
    throw new TypeError(`a shard is 0 to ${SHARD_MAX}, not ${shard}`);
  return new ShardEngine({ ...options, shard });
}

class ShardEngine implements Engine {
  readonly shard: number;
  readonly rules: Rules;
  readonly logKey: LogKey;
  readonly #options: EngineOptions;
  readonly #clock: SharedClock;
  readonly #queue: Pending[] = [];
  readonly #open = new Map<string, Pending>();
  readonly #committer: Committer;
  readonly #signer: Signer;
  readonly #pool: pg.Pool;
  readonly #listeners = new Set<(head: number) => void>();
  readonly #watches = new Set<HeadWatch>();
  #loop: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: EngineOptions & { shard: number }) {
    const { database, role, rules, logKey, shard, nowUs, lockAfterLosses } = options;
    this.#clock = nowUs ? fixedClock(nowUs) : createSharedClock();
    this.shard = shard;
    this.rules = rules;
    this.logKey = logKey;
    this.#options = options;
    const config = database.as(role);
    this.#signer = new Signer(config, shard, logKey);
    const patience = lockAfterLosses === undefined ? {} : { lockAfterLosses };
    this.#committer = new Committer(
      { config, shard, rules, logKey, clock: this.#clock, ...patience },
      {
        committed: (plan) => this.#onCommitted(plan),
        replayed: (pending, outcome) => this.#answerCovered(pending, outcome),
        failed: (pending, error) => this.#fail(pending, error),
      },
    );
    this.#pool = new pg.Pool({ ...config, max: READ_CONNECTIONS_MAX });
    this.#pool.on('error', () => undefined); // an idle connection died; the next query makes another
  }

  get origin(): string {
    return this.logKey.origin;
  }

  get stats(): Engine['stats'] {
    return { ...this.#committer.stats, connects: this.#committer.connects, waiting: this.#open.size };
  }

  nowUs(): bigint {
    return this.#clock.nowUs();
  }

  async execute(command: Command): Promise<Outcome> {
    if (this.#isClosed) throw new Fault('the engine is closed');
    const twin = this.#open.get(commandIdOf(command));
    const pending = pendingOf(this.rules, command);
    if (twin) return this.#joinTwin(twin, pending);
    const queueMax = this.#options.queueCommandsMax ?? QUEUE_COMMANDS_MAX;
    if (this.#open.size >= queueMax) return limited(queueMax, this.#open.size, this.nowUs());
    this.#open.set(pending.id, pending);
    this.#queue.push(pending);
    this.#loop ??= this.#run();
    return pending.answered.promise;
  }

  onCommit(listener: (head: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  watchHead(everyMs = HEAD_POLL_MS): () => Promise<void> {
    const { database, role } = this.#options;
    const watch = new HeadWatch(database.as(role), this.shard, everyMs, {
      moved: (head) => this.#tell(head),
      rests: (head) => this.#signLeftOver(head),
    });
    this.#watches.add(watch);
    return async () => {
      this.#watches.delete(watch);
      await watch[Symbol.asyncDispose]();
    };
  }

  async settled(): Promise<void> {
    while (this.#open.size > 0) {
      const waiting = [...this.#open.values()].map((pending) => pending.answered.promise);
      await Promise.allSettled(waiting);
      await nextTurn();
    }
  }

  async query<R extends pg.QueryResultRow>(statement: Statement, values: unknown[]): Promise<R[]> {
    try {
      return (await this.#pool.query<R>({ ...statement, values })).rows;
    } catch (cause) {
      throw isOutage(cause) ? new Fault('the database does not answer', { cause }) : cause;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.settled();
    this.#isClosed = true;
    await this.#loop;
    await Promise.all([...this.#watches].map((watch) => watch[Symbol.asyncDispose]()));
    await this.#signer[Symbol.asyncDispose]();
    await this.#committer[Symbol.asyncDispose]();
    await this.#pool.end();
  }

  async #run(): Promise<void> {
    await nextTurn(); // let the callers of this turn queue too
    while (this.#queue.length > 0) {
      await this.#committer.commit(this.#queue.splice(0, BATCH_COMMANDS_MAX));
      await nextTurn();
    }
    this.#loop = undefined;
  }

  async #joinTwin(twin: Pending, pending: Pending): Promise<Outcome> {
    const outcome = await twin.answered.promise;
    if (twin.fingerprint === pending.fingerprint) return { ...outcome, replayed: true };
    const facts = { first_type: twin.command.type, first_pos: outcome.pos, first_receipt: outcome.receiptId };
    return {
      pos: outcome.pos,
      receiptId: outcome.receiptId,
      replayed: false,
      atUs: outcome.atUs,
      rejection: 'CONFLICT',
      facts,
    };
  }

  #onCommitted(plan: Plan): void {
    const { head, root } = plan.move;
    this.#signer.cover(head, root).then(
      () => this.#release(plan),
      (cause) => {
        for (const { pending } of plan.settled)
          this.#fail(pending, new Fault('committed, but its note could not be stored', { cause }));
      },
    );
    for (const reaction of plan.reactions) this.#react(reaction);
  }

  #release({ settled, move }: Plan): void {
    for (const { pending, outcome } of settled) this.#answer(pending, outcome);
    this.#tell(move.head);
  }

  /** A reaction that fails here stands in its timer row, and a meter fires it. */
  #react(reaction: Command): void {
    this.execute(reaction).catch(() => undefined);
  }

  /** The process that wrote the receipt may have died before it signed. */
  #answerCovered(pending: Pending, outcome: Outcome): void {
    this.#signer.cover(outcome.pos + 1).then(
      () => this.#answer(pending, outcome),
      (cause) => this.#fail(pending, new Fault('answered before, but its note could not be stored', { cause })),
    );
  }

  /** Whoever wrote the head has had time to sign it; one that died has not, and nobody else may ever commit again. */
  #signLeftOver(head: number): void {
    this.#signer.cover(head).catch(() => undefined); // the next poll tries again
  }

  #answer(pending: Pending, outcome: Outcome): void {
    this.#open.delete(pending.id);
    pending.answered.resolve(outcome);
  }

  #fail(pending: Pending, error: Error): void {
    this.#open.delete(pending.id);
    pending.answered.reject(error);
  }

  #tell(head: number): void {
    for (const listener of this.#listeners) listener(head);
  }
}

const limited = (queueMax: number, waiting: number, atUs: bigint): Outcome => ({
  pos: -1,
  receiptId: '',
  replayed: false,
  atUs,
  rejection: 'LIMITED',
  facts: { cap: 'commands_waiting', max: queueMax, waiting, asked: 1 },
});
