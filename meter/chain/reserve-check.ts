/**
 * Proof of reserves: what the ledger says that we hold on the chain, held against the chain itself, look after look.
 * Promise: the chain's side belongs to one block that stands, the ledger's to one moment, or the look does not count; what differs is
 * said aloud and on record, and so is it when no look counts for long.
 */
import { type Engine, noteMoment, PAGE_MAX, readBalances, readStream, streamsOfStatus } from '@tallystick/engine';
import { type BlockRef, type Chain, ChainFault, type TransferSeen } from '@tallystick/engine/adapters/chain';
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
  reservesMoment,
  unexplainedMicros,
  type WithdrawalState,
} from '@tallystick/treasury';
import type { Logger } from 'pino';
import type { Address, Hex } from 'viem';
import { type Addresses, FundedAddresses } from './addresses.ts';
import { REORG_BLOCKS_MAX } from './marks.ts';

/** An answer that stays the same is recorded this often. */
const RECORD_EVERY_US = 3_600_000_000n;
/** Nobody has a key of deposit addresses: they are all asked only so often while nothing arrives there. */
const FORWARDERS_EVERY_MS = 60_000;
/** That a look counted is noted so often: looks may come several times a second. */
const NOTE_EVERY_MS = 10_000;
/** Without a look that counts for so long, somebody is told. */
const UNCHECKED_MS_MAX = 600_000;

export interface ReserveCheckOptions {
  engine: Engine;
  chain: Chain;
  addresses: Addresses;
  confirmations: number;
  log: Logger;
  nowMs?: () => number;
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

/** What the chain has moved and the ledger does not know of yet, and to which deposit addresses. */
interface Moving {
  micros: Amounts;
  payees: Address[];
}

interface Looked {
  at: BlockRef;
  onChain: OnChain;
}

export class ReserveCheck {
  readonly #options: ReserveCheckOptions;
  readonly #funded: FundedAddresses;
  readonly #nowMs: () => number;
  #forwarders: { mark: string; micros: bigint; atMs: number } | undefined;
  #countedAtMs: number;
  #notedAtMs = Number.NEGATIVE_INFINITY;
  #isUnchecked = false;

  constructor(options: ReserveCheckOptions) {
    this.#options = options;
    this.#funded = new FundedAddresses(options.chain.key);
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#countedAtMs = this.#nowMs();
  }

  /**
   * `upTo`: everything up to this block is credited. Nothing is said when the chain forgot its blocks or the ledger moved meanwhile.
   * @errors rejects with ChainFault or Fault: the next look asks again
   */
  async check(upTo: BlockRef): Promise<void> {
    try {
      if (await this.#look(upTo)) await this.#count();
    } finally {
      this.#tellWhenUnchecked();
    }
  }

  async #count(): Promise<void> {
    const { engine, chain } = this.#options;
    this.#countedAtMs = this.#nowMs();
    if (this.#countedAtMs - this.#notedAtMs < NOTE_EVERY_MS) return;
    await noteMoment(engine, reservesMoment(chain.key), engine.nowUs());
    this.#notedAtMs = this.#countedAtMs;
  }

  /** The ledger is read first: whatever is in it by then stands in a block up to the one that is pinned after. */
  async #look(upTo: BlockRef): Promise<boolean> {
    const books = await this.#books();
    const pinned = await this.#newestFinal(upTo);
    if (!pinned) return false;
    let { at, onChain } = await this.#onChain(upTo, pinned, books);
    if (this.#forwarders && !reservesAnswer(figuresOf(books, onChain)).isEqual) {
      this.#forwarders = undefined; // what was remembered of deposit addresses may be of another chain by now
      ({ at, onChain } = await this.#onChain(upTo, pinned, books));
    }
    const isSame = (await this.#books()).mark === books.mark && (await this.#stand([upTo, pinned, at]));
    if (isSame) await this.#tell(pinned, figuresOf(books, onChain));
    return isSame;
  }

  /** Undefined when the chain is behind what is credited. */
  async #newestFinal({ number }: BlockRef): Promise<BlockRef | undefined> {
    const { chain, confirmations } = this.#options;
    const head = await chain.head();
    const final = head.number - BigInt(confirmations) + 1n;
    if (final < number) return undefined;
    return final === head.number ? head : chain.header(final);
  }

  async #stand(blocks: readonly BlockRef[]): Promise<boolean> {
    const numbers = [...new Set(blocks.map(({ number }) => number))];
    const headers = await Promise.all(numbers.map((number) => this.#options.chain.header(number)));
    return blocks.every(({ number, hash }) => headers[numbers.indexOf(number)]?.hash === hash);
  }

  #tellWhenUnchecked(): void {
    const { log, chain } = this.#options;
    const isLong = this.#nowMs() - this.#countedAtMs >= UNCHECKED_MS_MAX;
    if (isLong === this.#isUnchecked) return;
    this.#isUnchecked = isLong;
    if (isLong)
      log.error({ rail: chain.key }, 'the chain was not held against the ledger for long: soon nothing is paid out');
    else log.warn({ rail: chain.key }, 'the chain is held against the ledger again');
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

  async #onChain(upTo: BlockRef, pinned: BlockRef, books: Books): Promise<Looked> {
    try {
      return { at: pinned, onChain: await this.#asOf(pinned.number, upTo, books) };
    } catch (fault) {
      if (!(fault instanceof ChainFault)) throw fault;
      const head = await this.#options.chain.head(); // an endpoint that knows no balances of the past
      if (head.number === pinned.number) throw fault;
      return { at: head, onChain: await this.#asOf(head.number, upTo, books) };
    }
  }

  async #asOf(block: bigint, upTo: BlockRef, books: Books): Promise<OnChain> {
    const { chain } = this.#options;
    const { micros: pending, payees } = await this.#moving(upTo.number + 1n, block);
    const held = {
      treasury: await chain.balanceOf(chain.config.treasury, block),
      forwarders: await this.#forwardersAt(block, { payees, isQuiet: pending.forwarders === 0n, books }),
    };
    return { held, pending, leaving: await this.#leaving(block) };
  }

  /** Remembered while the ledger stays as it is and nothing is on its way there. */
  async #forwardersAt(
    block: bigint,
    { payees, isQuiet, books: { mark } }: { payees: readonly Address[]; isQuiet: boolean; books: Books },
  ): Promise<bigint> {
    const [known, nowMs] = [this.#forwarders, this.#nowMs()];
    if (isQuiet && known?.mark === mark && nowMs - known.atMs < FORWARDERS_EVERY_MS) return known.micros;
    const { chain, engine } = this.#options;
    const all = [...new Set([...(await this.#funded.read(engine)), ...payees])];
    const micros = (await chain.balancesOf(all, block)).reduce((sum, one) => sum + one, 0n);
    this.#forwarders = isQuiet ? { mark, micros, atMs: nowMs } : undefined;
    return micros;
  }

  /** In these blocks, and not in the ledger yet; from a deposit address to the treasury it changes its place only. */
  async #moving(from: bigint, to: bigint): Promise<Moving> {
    const { chain, addresses } = this.#options;
    const micros: Amounts = { treasury: 0n, forwarders: 0n };
    if (from > to) return { micros, payees: [] };
    const isForwarder = (address: Address): boolean => addresses.principalOf(address) !== undefined;
    const transfers = await chain.transfers(from, to, [chain.config.treasury, ...addresses.all]);
    for (const one of await this.#unknownToLedger(transfers)) {
      micros[isForwarder(one.payee) ? 'forwarders' : 'treasury'] += one.micros;
      if (isForwarder(one.payer)) micros.forwarders -= one.micros;
    }
    return { micros, payees: transfers.map(({ payee }) => payee).filter(isForwarder) };
  }

  /** Whoever else looks at the chain may have credited them. */
  async #unknownToLedger(transfers: readonly TransferSeen[]): Promise<TransferSeen[]> {
    const { chain, engine } = this.#options;
    const markerOf = (transfer: TransferSeen): string => depositAccount(depositIdOf(chain.key, transfer));
    const rows = await readBalances(engine, transfers.map(markerOf));
    const markers = new Set(rows.map(({ account }) => account));
    return transfers.filter((transfer) => !markers.has(markerOf(transfer)));
  }

  /** Withdrawals that the chain has taken and the ledger has not concluded, less those that it concluded and the chain has forgotten. */
  async #leaving(block: bigint): Promise<bigint> {
    const { engine, chain } = this.#options;
    let micros = -(await this.#forgotten(block));
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

  /** Their bytes are sent again: what they paid is not ours. */
  async #forgotten(block: bigint): Promise<bigint> {
    const { engine, chain } = this.#options;
    const rows = await streamsOfStatus(engine, { kind: 'withdrawal', status: 'final', limit: PAGE_MAX });
    const recent = rows
      .map(({ state }) => state as unknown as WithdrawalState)
      .filter((one) => one.rail === chain.key && BigInt(one.broadcast.block) > block - REORG_BLOCKS_MAX);
    let micros = 0n;
    for (const [number, there] of Map.groupBy(recent, ({ broadcast }) => broadcast.block)) {
      const hash = (await chain.header(BigInt(number)))?.hash;
      for (const one of there)
        if (one.broadcast.block_hash !== hash) micros += BigInt(one.amount_micros) - (await this.#takenOf(one, block));
    }
    return micros;
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

const differs = (a: ReserveFigures, b: ReserveFigures): boolean => unexplainedMicros([a]) !== unexplainedMicros([b]);

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
  const isOther = isEqual !== reserves.is_equal || parts.some((part, i) => differs(part, reserves.parts[i]!));
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
