/**
 * What happened on this machine since the warden's start, in order, for the control plane to read by position.
 * Promise: an event is never changed or reordered; the file holds every one of them, memory the newest.
 */
import { createWriteStream, readdirSync, rmSync, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import type { Facts } from './fault.ts';
import { Waiters } from './waiters.ts';

export type EventName =
  | 'started'
  | 'renewed'
  | 'frozen'
  | 'thawed'
  | 'ended'
  | 'exec_started'
  | 'exec_ended'
  | 'egress_changed'
  | 'reaper_restarted';

export interface WardenEvent extends Facts {
  /** 1 for the first of this boot. */
  seq: number;
  at_us: number;
  event: EventName;
  sandbox: string;
  incarnation: number;
}

export interface EventPage {
  boot_id: string;
  events: WardenEvent[];
  next_after: number;
  /** The oldest position still held in memory. */
  first_seq: number;
}

const EVENTS_KEPT_MAX = 20_000;
const PAGE_EVENTS_MAX = 500;
const FILES_KEPT = 5;

/** Files sort by their start: the oldest of earlier boots go. */
function dropOldFiles(folder: string): void {
  const files = readdirSync(folder).filter((name) => /^events-.*\.jsonl$/.test(name));
  for (const name of files.sort().slice(0, -FILES_KEPT)) rmSync(join(folder, name), { force: true });
}

export class EventLog {
  readonly #bootId: string;
  readonly #file: WriteStream;
  readonly #events: WardenEvent[] = [];
  readonly #waiters = new Waiters();
  readonly #nowMs: () => number;
  #nextSeq = 1;

  constructor(folder: string, bootId: string, nowMs: () => number) {
    this.#bootId = bootId;
    this.#nowMs = nowMs;
    dropOldFiles(folder);
    this.#file = createWriteStream(join(folder, `events-${nowMs()}-${bootId}.jsonl`), { flags: 'a', mode: 0o600 });
    this.#file.on('error', () => undefined); // a full disk loses the copy on disk, not the machine's tenants
  }

  append(event: EventName, sandbox: string, incarnation: number, facts: Facts = {}): WardenEvent {
    const whole: WardenEvent = {
      seq: this.#nextSeq++,
      at_us: Math.round(this.#nowMs() * 1_000),
      event,
      sandbox,
      incarnation,
      ...facts,
    };
    this.#events.push(whole);
    if (this.#events.length > EVENTS_KEPT_MAX) this.#events.shift();
    this.#file.write(`${JSON.stringify(whole)}\n`);
    this.#waiters.wake();
    return whole;
  }

  async read(after: number, waitMs: number): Promise<EventPage> {
    await this.#waiters.until(() => this.#nextSeq - 1 > after, waitMs);
    const firstSeq = this.#events[0]?.seq ?? this.#nextSeq;
    const events = this.#events.slice(Math.max(0, after + 1 - firstSeq)).slice(0, PAGE_EVENTS_MAX);
    return { boot_id: this.#bootId, events, next_after: events.at(-1)?.seq ?? after, first_seq: firstSeq };
  }

  async close(): Promise<void> {
    this.#waiters.wake();
    await new Promise<void>((resolve) => this.#file.end(() => resolve()));
  }
}
