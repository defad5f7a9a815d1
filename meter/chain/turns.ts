/**
 * Streams of one status a bounded number at a time, oldest first; the next time goes on behind them, and after the newest from the start.
 * Promise: however many there are, each gets its turn, and the oldest are not passed over for newer ones.
 */
import { type Engine, oldestOfStatus, type StreamRow } from '@tallystick/engine';

/** So many are looked at in one turn. */
export const TURN_MAX = 500;

export interface TurnsOptions {
  engine: Engine;
  kind: string;
  status: string;
  /** At most `TURN_MAX`. */
  max: number;
  /** Others are passed over. */
  isOurs(row: StreamRow): boolean;
}

export interface Turn {
  rows: StreamRow[];
  /** The streams of all turns since the oldest, when this one ended with the newest. */
  round: ReadonlySet<string> | undefined;
}

export class Turns {
  readonly #options: TurnsOptions;
  #after: number | undefined;
  #round = new Set<string>();

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /** @errors rejects with Fault: the same turn comes again */
  async next(): Promise<Turn> {
    const { engine, kind, status, max, isOurs } = this.#options;
    const from = this.#after === undefined ? {} : { after: this.#after };
    const page = await oldestOfStatus(engine, { kind, status, limit: max + 1, ...from }); // one more: whether there are others
    const isLast = page.length <= max;
    const turn = page.slice(0, max);
    const rows = turn.filter(isOurs);
    for (const { stream } of rows) this.#round.add(stream);
    const round = this.#round;
    this.#after = isLast ? undefined : turn.at(-1)?.createdPos;
    if (isLast) this.#round = new Set();
    return { rows, round: isLast ? round : undefined };
  }
}
