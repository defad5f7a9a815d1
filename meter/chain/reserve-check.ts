/**
 * Proof of reserves: what the ledger says that we hold on the chain, held against the chain itself, look after look.
 * Promise: both sides belong to the same block, or the look does not count; what differs is said aloud and on record.
 */
import { type Engine, PAGE_MAX, readBalances, readStream, streamsOfStatus } from '@tallystick/engine';
import { type BlockRef, type Chain, ChainFault } from '@tallystick/engine/adapters/chain';
import { chainAccount, depositAccount } from '@tallystick/kernel';
import {
  depositIdOf,
  LOOKS_SHORT_MAX,
  type RailState,
  RESERVE_PARTS,
  type ReserveFigures,
  type ReservePart,
  railStream,
  reservesAnswer,
  type WithdrawalState,
} from '@tallystick/treasury';
import type { Logger } from 'pino';
import type { Address, Hex } from 'viem';
import type { Addresses } from './addresses.ts';

/** An answer that stays the same is recorded this often. */
const RECORD_EVERY_US = 3_600_000_000n;
/** Nobody has a key of deposit addresses: they are all asked only so often while nothing arrives there. */
const FORWARDERS_EVERY_MS = 60_000;
const BALANCES_AT_ONCE = 100;

export interface ReserveCheckOptions {
  engine: Engine;
  chain: Chain;
  addresses: Addresses;
  confirmations: number;
  log: Logger;
}

type Amounts = Record<ReservePart, bigint>;

/** The asset accounts, and what tells that none of them has moved. */
interface Books {
  micros: Amounts;
  mark: string;
}

/** What the chain says of one block. */
interface OnChain {
  held: Amounts;
  pending: Amounts;
  leaving: bigint;
}

export class ReserveCheck {
  readonly #options: ReserveCheckOptions;
  #forwarders: { mark: string; micros: bigint; atMs: number } | undefined;

  constructor(options: ReserveCheckOptions) {
    this.#options = options;
  }

  /**
   * `upTo`: everything up to this block is credited. Nothing is said when the ledger moved meanwhile, or the chain forgot a block.
   * @errors rejects with ChainFault or Fault: the next look asks again
   */
  async check(upTo: BlockRef): Promise<void> {
    const books = await this.#books();
    const asOf = await this.#newestFinal(upTo); // asked after the ledger: whatever that has is at least as old, whoever credits
    let figures = figuresOf(books, await this.#onChain(asOf, upTo, books));
    if (this.#forwarders && !reservesAnswer(figures).isEqual) {
      this.#forwarders = undefined; // what was remembered of deposit addresses may be of another chain by now
      figures = figuresOf(books, await this.#onChain(asOf, upTo, books));
    }
    const hasMoved = (await this.#books()).mark !== books.mark;
    const isSame = !hasMoved && (await this.#stands(upTo)) && (await this.#stands(asOf));
    if (isSame) await this.#tell(asOf, figures);
  }

  async #newestFinal(upTo: BlockRef): Promise<BlockRef> {
    const { chain, confirmations } = this.#options;
    const number = (await chain.head()).number - BigInt(confirmations) + 1n;
    return number > upTo.number ? ((await chain.header(number)) ?? upTo) : upTo;
  }

  async #stands({ number, hash }: BlockRef): Promise<boolean> {
    return (await this.#options.chain.header(number))?.hash === hash;
  }

  async #books(): Promise<Books> {
    const { engine, chain } = this.#options;
    const names = RESERVE_PARTS.map((part) => chainAccount(chain.key, part));
    const rows = await readBalances(engine, names);
    const [treasury, forwarders] = names.map((name) => rows.find(({ account }) => account === name));
    const heldIn = (row: (typeof rows)[number] | undefined): bigint =>
      row ? row.debitsPostedMicros - row.creditsPostedMicros : 0n;
    const counted = [treasury, forwarders].map((row) => `${row?.debitsPostedMicros}/${row?.creditsPostedMicros}`);
    return { micros: { treasury: heldIn(treasury), forwarders: heldIn(forwarders) }, mark: counted.join(' ') };
  }

  async #onChain(asOf: BlockRef, upTo: BlockRef, books: Books): Promise<OnChain> {
    try {
      return await this.#at(asOf.number, upTo, books);
    } catch (fault) {
      if (!(fault instanceof ChainFault)) throw fault;
      const { number } = await this.#options.chain.head(); // an endpoint that knows no balances of the past
      if (number === asOf.number) throw fault;
      return this.#at(number, upTo, books);
    }
  }

  async #at(block: bigint, upTo: BlockRef, books: Books): Promise<OnChain> {
    const { chain } = this.#options;
    const held = {
      treasury: await chain.balanceOf(chain.config.treasury, block),
      forwarders: block === upTo.number ? await this.#knownForwarders(block, books) : await this.#forwardersAt(block),
    };
    return { held, pending: await this.#pending(upTo.number + 1n, block), leaving: await this.#leaving(block) };
  }

  async #knownForwarders(block: bigint, { mark }: Books): Promise<bigint> {
    const known = this.#forwarders;
    if (known?.mark === mark && performance.now() - known.atMs < FORWARDERS_EVERY_MS) return known.micros;
    const micros = await this.#forwardersAt(block);
    this.#forwarders = { mark, micros, atMs: performance.now() };
    return micros;
  }

  async #forwardersAt(block: bigint): Promise<bigint> {
    const { chain, addresses } = this.#options;
    const { all } = addresses;
    let micros = 0n;
    for (let at = 0; at < all.length; at += BALANCES_AT_ONCE) {
      const part = all.slice(at, at + BALANCES_AT_ONCE);
      for (const one of await Promise.all(part.map((address) => chain.balanceOf(address, block)))) micros += one;
    }
    return micros;
  }

  /** Arrived in these blocks and not credited by anybody yet; from a deposit address to the treasury it changes its place only. */
  async #pending(from: bigint, to: bigint): Promise<Amounts> {
    const { engine, chain, addresses } = this.#options;
    const pending: Amounts = { treasury: 0n, forwarders: 0n };
    const transfers = from > to ? [] : await chain.transfers(from, to, [chain.config.treasury, ...addresses.all]);
    const markers = transfers.map((one) => depositAccount(depositIdOf(chain.key, one)));
    const credited = new Set((await readBalances(engine, markers)).map(({ account }) => account));
    const isForwarder = (address: Address): boolean => addresses.principalOf(address) !== undefined;
    for (const [i, { payer, payee, micros }] of transfers.entries()) {
      if (credited.has(markers[i]!)) continue;
      pending[isForwarder(payee) ? 'forwarders' : 'treasury'] += micros;
      if (isForwarder(payer)) pending.forwarders -= micros;
    }
    return pending;
  }

  /** Withdrawals that the chain has taken and the ledger has not concluded. */
  async #leaving(block: bigint): Promise<bigint> {
    const { engine, chain } = this.#options;
    let micros = 0n;
    for (let after: number | undefined; ; ) {
      const from = after === undefined ? {} : { after };
      const rows = await streamsOfStatus(engine, { kind: 'withdrawal', status: 'signed', limit: PAGE_MAX, ...from });
      const signed = rows
        .map(({ state }) => state as unknown as WithdrawalState)
        .filter(({ rail }) => rail === chain.key);
      for (const one of await Promise.all(signed.map((state) => this.#takenOf(state, block)))) micros += one;
      after = rows.at(-1)?.createdPos;
      if (rows.length < PAGE_MAX || after === undefined) return micros;
    }
  }

  async #takenOf({ broadcast, amount_micros }: WithdrawalState, block: bigint): Promise<bigint> {
    for (const { hash } of broadcast.attempts.toReversed()) {
      const mined = await this.#options.chain.receiptOf(hash as Hex, block);
      if (mined) return mined.succeeded ? BigInt(amount_micros) : 0n;
    }
    return 0n;
  }

  async #tell(upTo: BlockRef, parts: ReserveFigures[]): Promise<void> {
    const { engine, chain } = this.#options;
    const stream = railStream(chain.key);
    const row = await readStream(engine, stream);
    if (!row || !isNews(row.state as unknown as RailState, parts, engine.nowUs())) return;
    const { answer } = await engine.execute({
      principal: 'platform',
      key: `reserves:${row.version}:${upTo.hash}:${JSON.stringify(parts)}`,
      stream,
      type: 'RecordReserves',
      body: { block: String(upTo.number), block_hash: upTo.hash, parts },
    });
    if (answer) this.#say(answer as unknown as RailState, row.state as unknown as RailState);
  }

  #say({ reserves, withdrawals_stopped: isStopped }: RailState, before: RailState): void {
    const { log, chain } = this.#options;
    const told = { rail: chain.key, ...reserves };
    if (isStopped) log.error(told, 'money is missing on the chain: withdrawals are stopped');
    else if (before.withdrawals_stopped) log.warn(told, 'nothing is missing on the chain any more: withdrawals go on');
    else if (!reserves!.is_equal) log.warn(told, 'the ledger and the chain differ');
  }
}

/** What differs from the last record, what counts towards a stop, and now and then that all is well. */
function isNews(
  { reserves, withdrawals_stopped }: RailState,
  parts: readonly ReserveFigures[],
  nowUs: bigint,
): boolean {
  if (!reserves) return true;
  const { isEqual, isElsewhere, missingMicros } = reservesAnswer(parts);
  const isCounting = missingMicros > 0n && reserves.looks_short < LOOKS_SHORT_MAX;
  const isOver = missingMicros === 0n && (withdrawals_stopped === true || reserves.looks_short > 0);
  const isOther = isEqual !== reserves.is_equal || String(missingMicros) !== reserves.missing_micros;
  return isElsewhere || isCounting || isOver || isOther || nowUs - BigInt(reserves.checked_at_us) >= RECORD_EVERY_US;
}

const figuresOf = ({ micros }: Books, { held, pending, leaving }: OnChain): ReserveFigures[] =>
  RESERVE_PARTS.map((part) => ({
    part,
    ledger_micros: String(micros[part]),
    pending_micros: String(pending[part]),
    leaving_micros: String(part === 'treasury' ? leaving : 0n),
    chain_micros: String(held[part]),
  }));
