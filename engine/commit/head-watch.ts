/**
 * Notices that the head of a shard moved, whoever moved it, and that it rests.
 * Promise: a hint makes it quick, polling makes it sure; a lost connection only costs time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { STATEMENTS } from '../statements.ts';

const CHANNEL = 'tally_head';

export interface HeadListener {
  moved(head: number): void;
  /** The head is where the poll before found it. */
  rests(head: number): void;
}

export class HeadWatch implements AsyncDisposable {
  readonly #config: pg.ClientConfig;
  readonly #shard: number;
  readonly #everyMs: number;
  readonly #listener: HeadListener;
  readonly #end = new AbortController();
  readonly #loop: Promise<void>;
  #head = -1;
  #polledHead = -1;
  #client: pg.Client | undefined;

  constructor(config: pg.ClientConfig, shard: number, everyMs: number, listener: HeadListener) {
    this.#config = config;
    this.#shard = shard;
    this.#everyMs = everyMs;
    this.#listener = listener;
    this.#loop = this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    while (!this.#end.signal.aborted) {
      await this.#poll().catch(() => this.#drop());
      await sleep(this.#everyMs, undefined, { signal: this.#end.signal, ref: true }).catch(() => undefined);
    }
    await this.#drop();
  }

  async #poll(): Promise<void> {
    this.#client ??= await this.#listen();
    const { rows } = await this.#client.query({ ...STATEMENTS.head, values: [this.#shard] });
    const head = Number(rows[0].head);
    if (head === this.#polledHead && head > 0) this.#listener.rests(head);
    this.#polledHead = head;
    this.#see(head);
  }

  async #listen(): Promise<pg.Client> {
    const client = new pg.Client(this.#config);
    client.on('error', () => undefined); // the next poll reports it
    client.on('notification', ({ payload = '' }) => {
      const [shard, head] = payload.split(':').map(Number);
      if (shard === this.#shard) this.#see(head!);
    });
    await client.connect();
    await client.query(`listen ${CHANNEL}`);
    return client;
  }

  #see(head: number): void {
    if (head <= this.#head) return;
    this.#head = head;
    this.#listener.moved(head);
  }

  async #drop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => undefined);
  }
}
