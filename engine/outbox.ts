/**
 * Carries committed messages to the outside world, at least once, those of one sandbox in order.
 * Promise: a message is settled only by who holds its current lease; one that fails waits and stops no other lane.
 */
import { randomUUID } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type JsonObject, receiptIdOf } from '@tallystick/kernel';
import { Bell } from './bell.ts';
import type { Engine } from './commit/engine.ts';
import { grouped } from './grouped.ts';
import { STATEMENTS } from './statements.ts';

/** Messages under way at once. */
const CONCURRENT_MAX = 64;
/** Deliveries settled together at most. */
const SETTLED_TOGETHER_MAX = 256;
/** After so long a message may be given to another meter. */
const LEASE_MS = 30_000;
/** How often the outbox is looked at without a hint. */
const EVERY_MS = 200;
const BACKOFF_FIRST_MS = 200;
const BACKOFF_MS_MAX = 60_000;
const US_PER_MS = 1_000n;

export interface Delivery {
  /** `<pos>.<ord>`: receivers deduplicate by it. */
  id: string;
  topic: string;
  body: JsonObject;
  /** When it was committed, microseconds since 1970. */
  atUs: bigint;
  /** 1 for the first try. */
  attempt: number;
  /** The receipt it belongs to; the hash is hex SHA-256 of its bytes. */
  receipt: { id: string; pos: number; hash: string };
}

/** Resolves when the message is delivered; a rejection postpones it. */
export type Handler = (message: Delivery) => Promise<void>;

export interface OutboxOptions {
  signal: AbortSignal;
  everyMs?: number;
  leaseMs?: number;
  backoffFirstMs?: number;
  concurrentMax?: number;
  /** Told about every failed delivery and lost lease. */
  onError?: (error: unknown, message?: Delivery) => void;
}

interface TakenRow {
  pos: bigint;
  ord: number;
  topic: string;
  body: string;
  attempts: number;
  at_us: string;
  receipt_hash: string;
}

/** Runs until the signal aborts, then waits for what is under way. Topics without a handler are left to others. */
export async function runOutbox(
  engine: Engine,
  handlers: Readonly<Record<string, Handler>>,
  options: OutboxOptions,
): Promise<void> {
  const { signal, everyMs = EVERY_MS, concurrentMax = CONCURRENT_MAX, onError = () => undefined } = options;
  const bell = new Bell();
  const underWay = new Set<Promise<void>>();
  const carrier: Carrier = { engine, handlers, options, settle: settler(engine) };
  const stopListening = engine.onCommit(() => bell.ring());
  while (!signal.aborted) {
    const taken = await take(engine, Object.keys(handlers), concurrentMax - underWay.size, options).catch(
      (error: unknown) => {
        onError(error);
        return [];
      },
    );
    for (const message of taken) {
      const delivery = deliver(carrier, message).finally(() => {
        underWay.delete(delivery);
        bell.ring(); // the next of its lane may go
      });
      underWay.add(delivery);
    }
    if (taken.length === 0) await bell.wait(everyMs, signal);
    await nextTurn(); // what is settled together makes room together
  }
  stopListening();
  await Promise.allSettled(underWay);
}

interface Taken {
  pos: bigint;
  ord: number;
  token: string;
  message: Delivery;
}

async function take(
  engine: Engine,
  topics: string[],
  limit: number,
  { leaseMs = LEASE_MS }: OutboxOptions,
): Promise<Taken[]> {
  if (limit <= 0) return [];
  const token = randomUUID();
  const values = [engine.shard, topics, engine.nowUs(), BigInt(leaseMs) * US_PER_MS, token, limit];
  const rows = await engine.query<TakenRow>(STATEMENTS.takeOutbox, values);
  return rows.map((row) => ({ pos: row.pos, ord: row.ord, token, message: deliveryOf(engine.shard, row) }));
}

function deliveryOf(shard: number, row: TakenRow): Delivery {
  const [pos, atUs] = [Number(row.pos), BigInt(row.at_us)];
  return {
    id: `${pos}.${row.ord}`,
    topic: row.topic,
    body: JSON.parse(row.body),
    atUs,
    attempt: row.attempts,
    receipt: { id: receiptIdOf(shard, pos, atUs), pos, hash: row.receipt_hash },
  };
}

interface Carrier {
  engine: Engine;
  handlers: Readonly<Record<string, Handler>>;
  options: OutboxOptions;
  /** Marks it delivered; false when its lease is no longer ours. */
  settle: (taken: Taken) => Promise<boolean>;
}

/** Never rejects: what fails is postponed, and what cannot even be postponed comes back when its lease ends. */
async function deliver({ engine, handlers, options, settle }: Carrier, taken: Taken): Promise<void> {
  const { onError = () => undefined } = options;
  try {
    await handlers[taken.message.topic]!(taken.message);
    const isSettled = await settle(taken);
    if (!isSettled) onError(new Error(`the lease of message ${taken.message.id} was lost`), taken.message);
  } catch (error) {
    onError(error, taken.message);
    const text = error instanceof Error ? error.message : String(error);
    const againUs = engine.nowUs() + BigInt(backoffMs(taken.message.attempt, options)) * US_PER_MS;
    await postpone(engine, taken, againUs, text.replaceAll('\0', '')).catch(onError);
  }
}

/** What is delivered at about the same time is settled with one statement. */
const settler = (engine: Engine): Carrier['settle'] =>
  grouped(async (group: readonly Taken[]) => {
    const rows = await engine.query<{ pos: bigint; ord: number }>(STATEMENTS.settleOutbox, [
      engine.shard,
      group.map(({ pos }) => pos),
      group.map(({ ord }) => ord),
      group.map(({ token }) => token),
    ]);
    const settled = new Set(rows.map(({ pos, ord }) => `${pos}.${ord}`));
    return group.map(({ message }) => settled.has(message.id));
  }, SETTLED_TOGETHER_MAX);

const postpone = (engine: Engine, { pos, ord, token }: Taken, againUs: bigint, text: string): Promise<unknown> =>
  engine.query(STATEMENTS.postponeOutbox, [engine.shard, pos, ord, token, againUs, text]);

const backoffMs = (attempt: number, { backoffFirstMs = BACKOFF_FIRST_MS }: OutboxOptions): number =>
  Math.min(BACKOFF_MS_MAX, backoffFirstMs * 2 ** Math.min(attempt - 1, 20));
