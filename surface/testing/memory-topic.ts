/**
 * A topic in memory whose cursors jump, for tests.
 * Promise: behaves as a stored log does: reads are asynchronous, old events can be dropped.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { EventSchema } from '@tallystick/proto';
import type { LiveEvent, LiveTopic } from '../live-subscription.ts';

export class MemoryTopic implements LiveTopic {
  readonly epoch: string;
  readonly windowUnit: 'events' | 'kib';
  readCount = 0;
  isDone = false;
  #events: LiveEvent[] = [];
  #oldest = 0n;
  #wakes = new Set<() => void>();

  constructor(epoch = 'e1', windowUnit: 'events' | 'kib' = 'events') {
    this.epoch = epoch;
    this.windowUnit = windowUnit;
  }

  get watcherCount(): number {
    return this.#wakes.size;
  }

  /** Appends an output event; its cursor jumps by one to three. */
  append(text: string): bigint {
    const head = this.head();
    const cursor = head + 1n + (head % 3n);
    const body = { case: 'output' as const, value: { stream: 1, bytes: Buffer.from(text) } };
    this.#push(cursor, toBinary(EventSchema, create(EventSchema, { cursor, body })));
    return cursor;
  }

  /** Appends the end of a command and is done. */
  end(): void {
    const cursor = this.head() + 1n;
    const body = { case: 'execEnd' as const, value: { end: 'exited', exitCode: 0 } };
    this.isDone = true;
    this.#push(cursor, toBinary(EventSchema, create(EventSchema, { cursor, body })));
  }

  #push(cursor: bigint, bytes: Uint8Array): void {
    this.#events.push({ cursor, bytes });
    for (const wake of this.#wakes) wake();
  }

  /** Keeps only the newest events. */
  trim(count: number): void {
    const dropped = this.#events.splice(0, this.#events.length - count);
    this.#oldest = dropped.at(-1)?.cursor ?? this.#oldest;
  }

  oldest(): bigint {
    return this.#oldest;
  }

  head(): bigint {
    return this.#events.at(-1)?.cursor ?? this.#oldest;
  }

  cursors(): bigint[] {
    return this.#events.map(({ cursor }) => cursor);
  }

  async read(after: bigint, limit: number): Promise<LiveEvent[]> {
    this.readCount++;
    await Promise.resolve();
    const start = this.#events.findIndex(({ cursor }) => cursor > after);
    return start < 0 ? [] : this.#events.slice(start, start + limit);
  }

  onAppend(wake: () => void): () => void {
    this.#wakes.add(wake);
    return () => this.#wakes.delete(wake);
  }

  done(): boolean {
    return this.isDone;
  }
}
