/**
 * One topic as its reader sees it: what has arrived, what was handed out, where to go on.
 * Promise: holds at most one window of events; after a break it goes on behind the last event handed out.
 */
import type { Event } from '@tallystick/proto';

const ACK_EVENTS_MAX = 128;

/** What went wrong with a topic, or with the connection as a whole. */
export class LiveProblem extends Error {
  /** A wire code of the error catalogue, or `reset`. */
  readonly code: string;

  constructor(code: string, detail: string) {
    super(detail);
    this.name = 'LiveProblem';
    this.code = code;
  }
}

/** Why a cursor cannot be honoured. */
export interface LiveReset {
  /** `epoch`, `future_cursor` or `outdated_cursor`. */
  reason: string;
  /** Smallest cursor that can still be read after. */
  oldest: bigint;
}

export type LiveState = 'connecting' | 'subscribed' | 'caught_up';

export interface TopicOptions {
  /** Go on after this cursor; 0: from the beginning; absent: only what is new. */
  after?: bigint;
  /** The epoch under which `after` was given. */
  epoch?: string;
  /** Events (for exec topics: KiB) that may be on their way; absent: the platform's default. */
  window?: number;
  signal?: AbortSignal;
  /** Says where to start over; without it a reset ends the iteration with a LiveProblem. */
  onReset?: (reset: LiveReset) => bigint;
  onState?: (state: LiveState) => void;
}

/** A class because it lives as long as its iteration. */
export class TopicQueue {
  readonly sub: number;
  readonly name: string;
  readonly options: TopicOptions;
  epoch: string;
  /** Cursor of the last event handed out; undefined until one is known. */
  cursor: bigint | undefined;
  #queue: Event[] = [];
  #received: bigint | undefined;
  #unackedCount = 0;
  #failure: Error | undefined;
  #wake = (): void => {};

  constructor(sub: number, name: string, options: TopicOptions) {
    this.sub = sub;
    this.name = name;
    this.options = options;
    this.epoch = options.epoch ?? '';
    this.cursor = options.after;
    this.#received = options.after;
    options.signal?.addEventListener('abort', () => this.#wake(), { once: true });
  }

  get isDrained(): boolean {
    return this.#queue.length === 0;
  }

  subscribed(epoch: string, head: bigint): void {
    this.epoch = epoch;
    this.cursor ??= head;
    this.#received ??= head;
    this.options.onState?.('subscribed');
  }

  push(events: readonly Event[]): void {
    for (const event of events) {
      if (this.#received !== undefined && event.cursor <= this.#received) continue;
      this.#received = event.cursor;
      this.#queue.push(event);
    }
    this.#wake();
  }

  /** Whether to subscribe again, from where the reader decided. */
  reset(reset: LiveReset, epoch: string): boolean {
    if (!this.options.onReset) {
      this.fail(new LiveProblem('reset', `${this.name}: the cursor cannot be honoured (${reset.reason})`));
      return false;
    }
    this.#queue = [];
    this.cursor = this.options.onReset(reset);
    this.#received = this.cursor;
    this.epoch = epoch;
    return true;
  }

  /** The connection broke: what was not handed out will come again. */
  disconnected(): void {
    this.#queue = [];
    this.#received = this.cursor;
    this.#unackedCount = 0;
    this.options.onState?.('connecting');
  }

  fail(failure: Error): void {
    this.#failure ??= failure;
    this.#wake();
  }

  /** The next event and whether everything up to it should be acknowledged. */
  async next(): Promise<{ event: Event; mustAck: boolean }> {
    for (;;) {
      this.options.signal?.throwIfAborted();
      const event = this.#queue.shift();
      if (event) return { event, mustAck: this.#handOut(event) };
      if (this.#failure) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #handOut(event: Event): boolean {
    this.cursor = event.cursor;
    this.#unackedCount++;
    if (!this.isDrained && this.#unackedCount < ACK_EVENTS_MAX) return false;
    this.#unackedCount = 0;
    return true;
  }
}
