/**
 * Signs the newest committed root and stores the note, one signature for all batches that wait for it.
 * Promise: nobody is answered before a stored note covers the receipt; no root is signed that was not committed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Checkpoint, type LogKey, signCheckpoint } from '@tallystick/kernel';
import type pg from 'pg';
import { Connection } from '../connection.ts';
import { isOutage } from '../fault.ts';
import { STATEMENTS } from '../statements.ts';
import { OUTAGE_MS_MAX, RECONNECT_MS } from './limits.ts';

/** A lost note is signed again, byte for byte the same: it need not wait for the disk as its root does. */
const SET_UP = 'set synchronous_commit = off';

interface Waiting {
  size: number;
  covered: PromiseWithResolvers<void>;
}

export class Signer implements AsyncDisposable {
  readonly #connection: Connection;
  readonly #shard: number;
  readonly #key: LogKey;
  #signedSize = 0;
  #newest: Checkpoint | undefined;
  #waiting: Waiting[] = [];
  #loop: Promise<void> | undefined;

  constructor(config: pg.ClientConfig, shard: number, key: LogKey) {
    this.#connection = new Connection(config, SET_UP);
    this.#shard = shard;
    this.#key = key;
  }

  /** Resolves when a stored note covers the first `size` receipts. `root` is known to who committed them. */
  cover(size: number, root?: Buffer): Promise<void> {
    if (size <= this.#signedSize) return Promise.resolve();
    if (root && size > (this.#newest?.size ?? 0)) this.#newest = { size, root };
    const covered = Promise.withResolvers<void>();
    this.#waiting.push({ size, covered });
    this.#loop ??= this.#run();
    return covered.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#loop;
    await this.#connection[Symbol.asyncDispose]();
  }

  async #run(): Promise<void> {
    let deadlineMs = Date.now() + OUTAGE_MS_MAX;
    while (this.#waiting.length > 0) {
      try {
        await this.#signNewest();
        deadlineMs = Date.now() + OUTAGE_MS_MAX;
      } catch (error) {
        await this.#connection.drop();
        if (!isOutage(error) || Date.now() > deadlineMs) this.#rejectAll(error as Error);
        else await sleep(RECONNECT_MS);
      }
    }
    this.#loop = undefined;
  }

  async #signNewest(): Promise<void> {
    const wanted = Math.max(...this.#waiting.map((waiting) => waiting.size));
    const newest = this.#newest && this.#newest.size >= wanted ? this.#newest : await this.#readNewest();
    if (newest) {
      const note = signCheckpoint(this.#key, newest);
      await this.#connection.query(STATEMENTS.signCheckpoint, [this.#shard, newest.size, note]);
      this.#signedSize = Math.max(this.#signedSize, newest.size);
    }
    const covered = this.#waiting.filter((waiting) => waiting.size <= this.#signedSize);
    this.#waiting = this.#waiting.filter((waiting) => waiting.size > this.#signedSize);
    for (const waiting of covered) waiting.covered.resolve();
  }

  /** The newest root that another process wrote, unless it is signed already. */
  async #readNewest(): Promise<Checkpoint | undefined> {
    const [row] = await this.#connection.query<{ size: bigint; root: Buffer; signed: boolean }>(STATEMENTS.newestRoot, [
      this.#shard,
    ]);
    if (!row) throw new TypeError(`the log of shard ${this.#shard} has no checkpoint to sign`);
    const newest = { size: Number(row.size), root: row.root };
    if (!row.signed) return newest;
    this.#signedSize = Math.max(this.#signedSize, newest.size);
    return undefined;
  }

  #rejectAll(error: Error): void {
    for (const { covered } of this.#waiting.splice(0)) covered.reject(error);
  }
}
