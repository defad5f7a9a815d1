/**
 * Whether the treasury's address holds what it is to pay out.
 * Promise: what is signed counts as gone, so that several payouts never count on the same dollars.
 */
import { type Engine, PAGE_MAX, streamsOfStatus } from '@tallystick/engine';
import type { Chain } from '@tallystick/engine/adapters/chain';
import type { WithdrawalState } from '@tallystick/treasury';

/** What the treasury's address holds beyond what is signed, in micros; below zero when it is too little. */
export async function spareMicros(engine: Engine, chain: Chain): Promise<bigint> {
  const signed = await payouts(engine, chain, 'signed'); // asked first: what is mined meanwhile counts twice, never not at all
  return (await chain.balanceOf(chain.config.treasury)) - sum(signed);
}

/** How much must be gathered before everything that waits can be paid; zero when there is enough. */
export async function shortMicros(engine: Engine, chain: Chain): Promise<bigint> {
  const held = sum(await payouts(engine, chain, 'held'));
  if (held === 0n) return 0n;
  const spare = await spareMicros(engine, chain);
  return held > spare ? held - spare : 0n;
}

const sum = (all: readonly WithdrawalState[]): bigint =>
  all.reduce((total, { amount_micros }) => total + BigInt(amount_micros), 0n);

async function payouts(engine: Engine, chain: Chain, status: 'held' | 'signed'): Promise<WithdrawalState[]> {
  const rows = await streamsOfStatus(engine, { kind: 'withdrawal', status, limit: PAGE_MAX });
  return rows.map(({ state }) => state as unknown as WithdrawalState).filter(({ rail }) => rail === chain.key);
}

/** So long a figure is used, less what was promised since. */
const FIGURE_MS = 200;

export interface PayoutFloatOptions {
  engine: Engine;
  chain: Chain;
  nowMs: () => number;
}

/** What may still be promised, as of one look at the ledger and the chain. */
interface Figure {
  leftMicros: bigint;
}

/** What payouts of this process may count on, although many are prepared at once. */
export class PayoutFloat {
  readonly #options: PayoutFloatOptions;
  /** From the promise on until the ledger was asked after its end, when it is signed there or void. */
  readonly #promised = new Map<string, { micros: bigint; isOver: boolean }>();
  #last: { atMs: number; figure: Promise<Figure> } | undefined;

  constructor(options: PayoutFloatOptions) {
    this.#options = options;
  }

  /** False when there is not as much. @errors rejects with ChainFault or Fault */
  async promise(stream: string, micros: bigint): Promise<boolean> {
    const figure = await this.#figure();
    if (figure.leftMicros < micros) return false;
    figure.leftMicros -= micros;
    this.#promised.set(stream, { micros, isOver: false });
    return true;
  }

  /** It is signed, or nothing came of it. */
  over(stream: string): void {
    const promise = this.#promised.get(stream);
    if (promise) promise.isOver = true;
  }

  #figure(): Promise<Figure> {
    const nowMs = this.#options.nowMs();
    if (!this.#last || nowMs - this.#last.atMs > FIGURE_MS) this.#last = { atMs: nowMs, figure: this.#ask() };
    return this.#last.figure;
  }

  async #ask(): Promise<Figure> {
    for (const [stream, { isOver }] of this.#promised) if (isOver) this.#promised.delete(stream);
    const spare = await spareMicros(this.#options.engine, this.#options.chain);
    const promised = [...this.#promised.values()].reduce((total, { micros }) => total + micros, 0n);
    return { leftMicros: spare - promised };
  }
}
