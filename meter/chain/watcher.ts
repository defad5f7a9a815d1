/**
 * Looks at the chain again and again: what arrived is shown at once and credited when it is deep enough.
 * Promise: the only one who credits deposits; any number may look at once; what one saw half, the next sees again.
 */
import { type Engine, readStream } from '@tallystick/engine';
import {
  type BlockRef,
  type Chain,
  ChainFault,
  type ChainLink,
  type TransferSeen,
} from '@tallystick/engine/adapters/chain';
import { type RailState, railStream } from '@tallystick/treasury';
import type { Logger } from 'pino';
import type { Address } from 'viem';
import { Addresses } from './addresses.ts';
import { DepositBook } from './deposit-book.ts';
import { DepositCommands } from './deposit-commands.ts';
import { LostDeposits } from './lost-deposits.ts';
import { ChainRewritten, Marks, type MarkWish } from './marks.ts';
import { Poke } from './poke.ts';
import { ReserveCheck } from './reserve-check.ts';

/** Blocks in one question for logs, at most; half as many after an endpoint did not answer, twice as many after it did. */
const RANGE_BLOCKS_MAX = 1_000n;
/** Transfers that are recorded at once. */
const GROUP_MAX = 64;
/** So much is looked through again after a restart, at most. */
const UNRECORDED_BLOCKS_MAX = 512n;

export interface WatcherOptions {
  engine: Engine;
  chain: Chain;
  /** A transfer in the newest block has one confirmation. */
  confirmations: number;
  /** Nothing before this block is looked at. */
  startBlock: bigint;
  chainIds: readonly number[];
  wish?: MarkWish;
  log: Logger;
}

export class Watcher {
  readonly #options: WatcherOptions;
  readonly #addresses: Addresses;
  readonly #book: DepositBook;
  readonly #lost: LostDeposits;
  readonly #reserves: ReserveCheck;
  #marks: Marks | undefined;
  #recorded = -1n;
  #rewinds = 0;
  /** What was credited after the newest mark may stand no more. */
  #isDoubtful = true;
  #rangeBlocks = RANGE_BLOCKS_MAX;

  constructor(options: WatcherOptions) {
    this.#options = options;
    this.#addresses = new Addresses(options.chain.key);
    const commands = new DepositCommands(options);
    this.#lost = new LostDeposits({ ...options, commands });
    this.#book = new DepositBook({ ...options, commands, lost: this.#lost, addresses: this.#addresses });
    this.#reserves = new ReserveCheck({ ...options, addresses: this.#addresses });
  }

  /** One look. @errors rejects with ChainFault or Fault: the next look goes on where this one stopped */
  async look(): Promise<void> {
    const { chain, confirmations, startBlock } = this.#options;
    const head = await chain.head();
    const marks = await this.#standing(head);
    await this.#addresses.refresh(this.#options.engine); // whoever was told an address pays after the head is read, or is known here
    const finalNumber = head.number - BigInt(confirmations) + 1n;
    const first = (marks.newest?.number ?? startBlock - 1n) + 1n;
    for (let from = first; from <= finalNumber; from = marks.newest!.number + 1n)
      await this.#scan(marks, { from, to: least(from + this.#rangeBlocks - 1n, finalNumber), head });
    const wished = this.#options.wish?.upTo ?? -1n;
    if (marks.newest && this.#recorded < wished && wished <= marks.newest.number)
      await this.#record(marks, marks.newest);
    await this.#showPending(greatest(finalNumber + 1n, first), head.number);
  }

  /** After a look: whether the chain holds what the ledger says. @errors rejects with ChainFault or Fault: the next one asks again */
  async checkReserves(): Promise<void> {
    const upTo = this.#marks?.newest;
    if (!upTo) return;
    await this.#reserves.check(upTo);
    await this.#doubtCredited();
  }

  /** Money is missing: what another meter credited in a block that this one never saw may have been forgotten with it. */
  async #doubtCredited(): Promise<void> {
    const row = await readStream(this.#options.engine, railStream(this.#options.chain.key));
    const { reserves } = row!.state as unknown as RailState;
    if (BigInt(reserves?.missing_micros ?? '0') > 0n) await this.#lost.loseCredited(this.#marks!.anchor);
  }

  /** Where to go on: whoever begins, and whoever saw the chain change, looks again whether what was credited beyond still stands. */
  async #standing(head: BlockRef): Promise<Marks> {
    const marks = await this.#rewound(head);
    if (this.#isDoubtful) await this.#lost.loseCredited(marks.newest);
    this.#isDoubtful = false;
    return marks;
  }

  async #rewound(head: BlockRef): Promise<Marks> {
    const isFromRecord = this.#marks === undefined;
    const marks = await this.#begin();
    try {
      if (!(await marks.rewind(this.#options.chain, head))) return marks;
    } catch (fault) {
      if (!(fault instanceof ChainRewritten)) throw fault;
      this.#marks = undefined;
      if (isFromRecord) throw fault;
      return this.#rewound(head); // what is on record may reach further back than what is remembered
    }
    this.#options.log.warn({ standing: String(marks.newest?.number) }, 'the chain changed');
    this.#isDoubtful = true;
    return marks;
  }

  /** From what is recorded, at first and whenever somebody sent the watchers back. */
  async #begin(): Promise<Marks> {
    const { engine, chain } = this.#options;
    if (!this.#marks) await this.#book.open();
    const state = (await readStream(engine, railStream(chain.key)))!.state as unknown as RailState;
    const { rewinds = 0, scanned } = state;
    if (this.#marks && rewinds === this.#rewinds) return this.#marks;
    this.#recorded = BigInt(scanned.number);
    this.#rewinds = rewinds;
    this.#isDoubtful = true;
    this.#marks = new Marks(state);
    return this.#marks;
  }

  async #scan(marks: Marks, { from, to, head }: { from: bigint; to: bigint; head: BlockRef }): Promise<void> {
    const end = to === head.number ? head : await this.#options.chain.header(to);
    const transfers = await this.#transfers(from, to);
    const [last, now] = [marks.newest, await this.#hashesOf([marks.newest, end])];
    if (!end || now[0] !== last?.hash || now[1] !== end.hash)
      throw new ChainFault('disagreement', `the blocks ${from} to ${to} changed while they were looked through`);
    await inGroups(transfers, (transfer) => this.#book.mature(transfer));
    marks.add(end);
    if (transfers.length > 0 || to - this.#recorded >= UNRECORDED_BLOCKS_MAX) await this.#record(marks, end);
  }

  /** As the chain has them by now. */
  #hashesOf(blocks: readonly (BlockRef | undefined)[]): Promise<(string | undefined)[]> {
    const { chain } = this.#options;
    return Promise.all(blocks.map(async (block) => block && (await chain.header(block.number))?.hash));
  }

  /** An endpoint that refuses so many blocks, or has no time for them, is asked for fewer the next time. */
  async #transfers(from: bigint, to: bigint): Promise<TransferSeen[]> {
    try {
      const found = await this.#options.chain.transfers(from, to, this.#payees());
      this.#rangeBlocks = least(this.#rangeBlocks * 2n, RANGE_BLOCKS_MAX);
      return found;
    } catch (fault) {
      if (fault instanceof ChainFault && fault.kind === 'unreachable')
        this.#rangeBlocks = greatest(least(this.#rangeBlocks, to - from + 1n) / 2n, 1n);
      throw fault;
    }
  }

  async #record(marks: Marks, end: BlockRef): Promise<void> {
    await this.#book.recordScan(end, marks.anchor!, this.#rewinds);
    this.#recorded = end.number;
  }

  async #showPending(from: bigint, to: bigint): Promise<void> {
    const transfers = from > to ? [] : await this.#options.chain.transfers(from, to, this.#payees());
    await inGroups(transfers, (transfer) => this.#book.see(transfer));
    await this.#lost.loseGone();
  }

  #payees(): Address[] {
    return [this.#options.chain.config.treasury, ...this.#addresses.all];
  }
}

/** Each transfer has streams of its own: what is asked at once is committed together. */
async function inGroups<T>(all: readonly T[], work: (one: T) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < all.length; at += GROUP_MAX) await Promise.all(all.slice(at, at + GROUP_MAX).map(work));
}

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const greatest = (a: bigint, b: bigint): bigint => (a > b ? a : b);

export interface WatchingOptions extends Omit<WatcherOptions, 'chain'> {
  link: ChainLink;
  everyMs: number;
  /** Poked when there is something to see. */
  poke?: Poke;
}

/** Runs until the signal aborts; a chain that is away is asked again. */
export async function watchForEver(
  { link, everyMs, poke = new Poke(), ...options }: WatchingOptions,
  signal: AbortSignal,
): Promise<void> {
  let watcher: Watcher | undefined;
  let lastFault = '';
  while (!signal.aborted) {
    try {
      watcher ??= new Watcher({ ...options, chain: await link.chain() });
      await watcher.look();
      await watcher.checkReserves();
      lastFault = '';
    } catch (fault) {
      const { message } = fault as Error;
      if (message !== lastFault)
        options.log.warn({ fault: message }, 'the chain could not be looked through; tried again');
      lastFault = message;
    }
    await poke.wait(everyMs, signal);
  }
}
