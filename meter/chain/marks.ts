/**
 * Blocks that were looked through, by their hashes: how a watcher notices that the chain changed its mind.
 * Promise: bounded; the newest block that still stands is found without asking for more than it remembers.
 */
import type { BlockRef, Chain } from '@tallystick/engine/adapters/chain';
import type { RailState, ScanMark } from '@tallystick/treasury';

/** How far back a change of the chain is looked for; one that goes deeper stops the watcher. */
export const REORG_BLOCKS_MAX = 64n;

/** Up to where somebody wants to read in the log that blocks were looked through; marks are rare otherwise. */
export interface MarkWish {
  upTo: bigint;
}

export const markOf = ({ number, hash }: BlockRef): ScanMark => ({ number: String(number), hash });

const refOf = ({ number, hash }: ScanMark): BlockRef => ({ number: BigInt(number), hash: hash as BlockRef['hash'] });

export class Marks {
  /** Oldest first. */
  #marks: BlockRef[];

  /** Begins where the last watcher stopped, or before the first block that matters. */
  constructor({ scanned, anchor }: Pick<RailState, 'scanned' | 'anchor'>) {
    this.#marks = [anchor, scanned].filter(({ hash }) => hash !== '').map(refOf);
  }

  get newest(): BlockRef | undefined {
    return this.#marks.at(-1);
  }

  /** The block to hold on to across restarts: at least the reorganisation window older than the newest, when one is known. */
  get anchor(): BlockRef | undefined {
    const newest = this.newest;
    return (
      newest && (this.#marks.findLast(({ number }) => newest.number - number >= REORG_BLOCKS_MAX) ?? this.#marks[0])
    );
  }

  add(block: BlockRef): void {
    this.#marks.push(block);
    const anchor = this.anchor!;
    this.#marks = this.#marks.filter(({ number }) => number >= anchor.number);
  }

  /**
   * Forgets what the chain has forgotten. True when anything was.
   * @errors rejects when no remembered block stands any more
   */
  async rewind(chain: Chain): Promise<boolean> {
    const before = this.#marks.length;
    for (let last = this.newest; last; last = this.newest) {
      if ((await chain.header(last.number))?.hash === last.hash) return this.#marks.length < before;
      this.#marks.pop();
    }
    if (before > 0)
      throw new Error(
        `the chain ${chain.key} changed deeper than ${REORG_BLOCKS_MAX} blocks: deposits wait for a human`,
      );
    return false;
  }
}
