/**
 * Notices that the head of a shard moved, whoever moved it.
 * Promise: a hint makes it quick, polling makes it sure; a lost connection only costs time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { STATEMENTS } from '../statements.ts';

const CHANNEL = 'tally_head';

export class HeadWatch implements AsyncDisposable {
  readonly #config: pg.ClientConfig;
  readonly #shard: number;
  readonly #everyMs: number;
  readonly #moved: (head: number) => void;
  readonly #end = new AbortController();
  readonly #loop: Promise<void>;
  #head = -1;
  #client: pg.Client | undefined;

  constructor(config: pg.ClientConfig, shard: number, everyMs: number, moved: (head: number) => void) {
    this.#config = config;
    this.#shard = shard;
    this.#everyMs = everyMs;
    this.#moved = moved;
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
    this.#see(Number(rows[0].head));
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
    this.#moved(head);
  }

  async #drop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => undefined);
  }
}
