/**
 * Blocks that were looked through, by their hashes: how a watcher notices that the chain changed its mind.
 * Promise: bounded; the newest block that still stands is found without asking for more than it remembers.
 */
import { type BlockRef, type Chain, ChainFault } from '@tallystick/engine/adapters/chain';
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
   * @errors rejects with ChainFault when the chain ends before what was looked through: that is an endpoint that is behind, and no other
   * chain; with ChainRewritten when no remembered block stands any more
   */
  async rewind(chain: Chain, head: BlockRef): Promise<boolean> {
    const { newest } = this;
    if (!newest) return false;
    if (head.number < newest.number)
      throw new ChainFault(
        'disagreement',
        `the chain ends at block ${head.number}, and ${newest.number} was looked through: an endpoint is behind`,
      );
    for (let at = this.#marks.length - 1; at >= 0; at--) {
      const { number, hash } = this.#marks[at]!;
      if ((await chain.header(number))?.hash !== hash) continue;
      const isChanged = at < this.#marks.length - 1;
      this.#marks.length = at + 1;
      return isChanged;
    }
    throw new ChainRewritten(chain.key, this.#marks[0]!.number);
  }
}

/** The chain changed deeper than anybody looks back: what was credited is not believed anew by a program. */
export class ChainRewritten extends Error {
  constructor(rail: string, oldest: bigint) {
    super(
      `the chain ${rail} changed deeper than ${REORG_BLOCKS_MAX} blocks, block ${oldest} included: deposits wait for an administrator, who finds the last block that still stands and says: tally admin rescan --from-block BLOCK`,
    );
  }
}
