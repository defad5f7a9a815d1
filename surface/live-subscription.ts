/**
 * One reader of one topic: pulls from the log by cursor, as far as the reader's window allows.
 * Promise: there is no seam between history and live, and a reader that does not read costs a cursor, not a queue.
 */
import type { Say } from './live-frames.ts';
import { WINDOW_EVENTS_DEFAULT } from './live-protocols.ts';

export const BATCH_EVENTS_MAX = 256;
export const BATCH_BYTES_MAX = 256 * 1024;
const BYTES_PER_KIB = 1024;

/** An event as it is stored. */
export interface LiveEvent {
  cursor: bigint;
  /** An encoded `tallystick.live.v1.Event` with the same cursor. */
  bytes: Uint8Array;
}

/** A log that can be read by cursor. Cursors grow but may jump. */
export interface LiveTopic {
  /** Cursors are valid within this epoch. */
  readonly epoch: string;
  /** What a window counts; absent: events. */
  readonly windowUnit?: 'events' | 'kib';
  /** Smallest cursor that can still be read after; 0 when nothing was ever dropped. */
  oldest(): bigint | Promise<bigint>;
  /** Cursor of the newest event, 0 when there is none. */
  head(): bigint | Promise<bigint>;
  /** Up to `limit` events with a cursor above `after`, in order. */
  read(after: bigint, limit: number): LiveEvent[] | Promise<LiveEvent[]>;
  /** Calls `wake` after every append (more often is harmless); returns how to stop that. */
  onAppend(wake: () => void): () => void;
  /** Whether nothing will ever be appended again. */
  done?(): boolean;
}

/** What the connection does for its subscriptions. */
export interface LiveOutput {
  say(frame: Say): void;
  /** Resolves when the reader's connection can take more; rejects when it has closed. */
  sendBatch(sub: number, events: readonly Uint8Array[]): Promise<void>;
  /** The subscription is over. */
  ended(sub: number): void;
  failed(fault: unknown): void;
}

export interface SubscribeRequest {
  sub: number;
  after?: bigint | undefined;
  epoch: string;
  window: number;
}

export interface Subscription {
  /** Begins to send. */
  start(): void;
  ack(cursor: bigint): void;
  /** Says again that the reader has everything, so that it knows that the connection lives. */
  beat(): void;
  stop(): void;
}

/** Says Subscribed, or Reset and returns undefined. */
export async function openSubscription(
  topic: LiveTopic,
  request: SubscribeRequest,
  output: LiveOutput,
): Promise<Subscription | undefined> {
  const [oldest, head] = [await topic.oldest(), await topic.head()];
  const reason = staleness(topic, request, oldest, head);
  if (reason) {
    output.say(resetFrame(topic, request.sub, reason, oldest));
    return undefined;
  }
  output.say({ case: 'subscribed', value: { sub: request.sub, epoch: topic.epoch, oldest, head } });
  return new Reader(topic, request, output, request.after ?? head);
}

const resetFrame = (topic: LiveTopic, sub: number, reason: string, oldest: bigint): Say => ({
  case: 'reset',
  value: { sub, reason, oldest, epoch: topic.epoch },
});

function staleness(
  topic: LiveTopic,
  { after, epoch }: SubscribeRequest,
  oldest: bigint,
  head: bigint,
): string | undefined {
  if (after === undefined) return undefined;
  if (epoch !== '' && epoch !== topic.epoch) return 'epoch';
  if (after > head) return 'future_cursor';
  return after < oldest ? 'outdated_cursor' : undefined;
}

/** What was sent and not acknowledged. */
class Window {
  readonly #isBytes: boolean;
  readonly #max: number;
  #used = 0;
  #sent: { cursor: bigint; weight: number }[] = [];

  constructor(topic: LiveTopic, asked: number) {
    this.#isBytes = topic.windowUnit === 'kib';
    this.#max = (asked || WINDOW_EVENTS_DEFAULT) * (this.#isBytes ? BYTES_PER_KIB : 1);
  }

  /** How many events may be read now; at least one when nothing is on its way. */
  room(): number {
    const left = this.#isBytes ? BATCH_EVENTS_MAX : this.#max - this.#used;
    return this.#sent.length === 0 ? Math.max(left, 1) : this.#used < this.#max ? left : 0;
  }

  /** Takes an event if it fits, or if nothing is on its way. */
  take({ cursor, bytes }: LiveEvent): boolean {
    const weight = this.#isBytes ? bytes.length : 1;
    if (this.#sent.length > 0 && this.#used + weight > this.#max) return false;
    this.#used += weight;
    this.#sent.push({ cursor, weight });
    return true;
  }

  /** Whether the acknowledgement made room. */
  ack(cursor: bigint): boolean {
    let count = 0;
    for (const sent of this.#sent) {
      if (sent.cursor > cursor) break;
      this.#used -= sent.weight;
      count++;
    }
    this.#sent = this.#sent.slice(count);
    return count > 0;
  }
}

/** A class because it lives as long as its subscription. */
class Reader implements Subscription {
  readonly #topic: LiveTopic;
  readonly #sub: number;
  readonly #output: LiveOutput;
  readonly #window: Window;
  #unwatch = (): void => {};
  #cursor: bigint;
  #isPumping = false;
  #isWoken = false;
  #isCaughtUp = false;
  #isStopped = false;

  constructor(topic: LiveTopic, { sub, window }: SubscribeRequest, output: LiveOutput, after: bigint) {
    this.#topic = topic;
    this.#sub = sub;
    this.#output = output;
    this.#window = new Window(topic, window);
    this.#cursor = after;
  }

  start(): void {
    this.#unwatch = this.#topic.onAppend(() => this.#wake());
    this.#wake();
  }

  ack(cursor: bigint): void {
    if (this.#window.ack(cursor)) this.#wake();
  }

  beat(): void {
    if (this.#isCaughtUp && !this.#isStopped) this.#sayCaughtUp();
  }

  stop(): void {
    this.#isStopped = true;
    this.#unwatch();
  }

  #sayCaughtUp(): void {
    this.#output.say({ case: 'caughtUp', value: { sub: this.#sub, cursor: this.#cursor } });
  }

  #wake(): void {
    this.#isWoken = true;
    if (this.#isPumping || this.#isStopped) return;
    this.#isPumping = true;
    this.#pump()
      .catch((fault: unknown) => this.#fail(fault))
      .finally(() => {
        this.#isPumping = false;
        if (this.#isWoken && !this.#isStopped) this.#wake();
      });
  }

  #fail(fault: unknown): void {
    if (this.#isStopped) return;
    this.#end();
    this.#output.failed(fault);
  }

  #end(): void {
    this.stop();
    this.#output.ended(this.#sub);
  }

  /** Sends until the log or the window ends; an append or an acknowledgement wakes it again. */
  async #pump(): Promise<void> {
    while (!this.#isStopped) {
      this.#isWoken = false;
      const room = this.#window.room();
      if (room <= 0) return;
      const isDone = this.#topic.done?.() ?? false;
      const oldest = await this.#topic.oldest();
      if (this.#cursor < oldest) return this.#reset(oldest);
      const events = await this.#topic.read(this.#cursor, Math.min(room, BATCH_EVENTS_MAX));
      if (this.#isStopped) return;
      if (events.length > 0) {
        if (!(await this.#send(events))) return;
      } else {
        if (!this.#isCaughtUp) this.#sayCaughtUp();
        this.#isCaughtUp = true;
        if (isDone) return this.#end();
        if (!this.#isWoken) return;
      }
    }
  }

  #reset(oldest: bigint): void {
    this.#output.say(resetFrame(this.#topic, this.#sub, 'outdated_cursor', oldest));
    this.#end();
  }

  /** Whether all events fitted into the window. */
  async #send(events: readonly LiveEvent[]): Promise<boolean> {
    let batch: Uint8Array[] = [];
    let batchBytes = 0;
    for (const event of events) {
      const fits = this.#window.take(event);
      if (batch.length > 0 && (!fits || batchBytes + event.bytes.length > BATCH_BYTES_MAX)) {
        await this.#output.sendBatch(this.#sub, batch);
        batch = [];
        batchBytes = 0;
      }
      if (!fits || this.#isStopped) return false;
      batch.push(event.bytes);
      batchBytes += event.bytes.length;
      this.#cursor = event.cursor;
    }
    await this.#output.sendBatch(this.#sub, batch);
    return true;
  }
}
