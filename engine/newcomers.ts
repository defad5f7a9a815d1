/**
 * Streams of a kind that came since they were asked for the last time.
 * Promise: each is told once; asking when there are none costs a handful of rows, however many streams there are.
 */
import type { JsonObject } from '@tallystick/kernel';
import type { Engine } from './commit/engine.ts';
import { listStreams, PAGE_MAX, type StreamRow } from './read.ts';

const FIRST_PAGE = 8;
const GROWTH = 8;

export interface NewcomersQuery {
  kind: string;
  /** What the state must contain, from the stream's first event on. */
  filter: JsonObject;
}

export class Newcomers {
  readonly #query: NewcomersQuery;
  /** Everything created up to this place of the log was told. */
  #toldPos = -1;

  constructor(query: NewcomersQuery) {
    this.#query = query;
  }

  /** Newest first. @errors rejects with Fault: then nothing counts as told */
  async ask(engine: Engine): Promise<StreamRow[]> {
    const found: StreamRow[] = [];
    let after: number | undefined;
    for (let limit = FIRST_PAGE; ; limit = Math.min(limit * GROWTH, PAGE_MAX)) {
      const page = await listStreams(engine, { ...this.#query, limit, ...(after === undefined ? {} : { after }) });
      const fresh = page.filter(({ createdPos }) => createdPos! > this.#toldPos);
      found.push(...fresh);
      after = page.at(-1)?.createdPos;
      if (fresh.length < limit || after === undefined) break;
    }
    this.#toldPos = found[0]?.createdPos ?? this.#toldPos;
    return found;
  }
}
