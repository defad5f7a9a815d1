/**
 * What one program knows of a shard as of the head it last saw, and a draft on top of it while a batch is decided.
 * Promise: everything in the cache is one snapshot of the database at `frontier.size`; memory is never authority.
 */
import { getHeapStatistics } from 'node:v8';
import {
  deciderOf,
  type Frontier,
  type JsonObject,
  jcs,
  type Posting,
  type Rules,
  readFrontier,
  sha256Hex,
} from '@tallystick/kernel';
import type { Connection } from '../connection.ts';
import { STATEMENTS } from '../statements.ts';
import { Recent } from './recent.ts';

/** What the cache may take of the memory that the runtime gives this process. */
const HEAP_SHARE_OF_STREAMS = 1 / 4;
const HEAP_SHARE_OF_ACCOUNTS = 1 / 16;
const HEAP_SHARE_OF_HOLDS = 1 / 64;
/** A head takes so much besides its state, which stands there as text and as an object about three times as large. */
const HEAD_BYTES = 1_024;
const BYTES_PER_STATE_CHAR = 4;
const ACCOUNT_BYTES = 256;
const HOLD_BYTES = 128;
/** Beyond so many missed receipts it is cheaper to forget everything than to read what changed. */
export const CATCH_UP_MAX = 2_000;
const NOTHING_MISSED = Number.MAX_SAFE_INTEGER;

export interface StreamHead {
  version: number;
  createdPos: number | null;
  receiptSeq: number;
  /** Hex; empty before the first receipt. */
  receiptHash: string;
  state: JsonObject;
  stateText: string;
  stateHash: string;
  owner: string | null;
}

export interface Balance {
  debitsMicros: bigint;
  creditsMicros: bigint;
  heldMicros: bigint;
}

/** What a command needs to see: its own stream, and what its decider's `reads` named. */
export interface Needs {
  streams: readonly string[];
  accounts: readonly string[];
}

/** A hold by `<pos>.<ord>`, its amount, or undefined where there is no such hold. */
export const holdName = (hold: { pos: number; ord: number }): string => `${hold.pos}.${hold.ord}`;

export class Cache {
  frontier: Frontier | undefined;
  atUs = 0n;
  readonly streams: Recent<StreamHead>;
  /** `undefined` as a value: known not to exist. */
  readonly accounts: Recent<Balance | undefined>;
  readonly holds: Recent<bigint | undefined>;
  readonly #rules: Rules;
  readonly #empty = new Map<string, StreamHead>();
  /** Accounts that did not exist when they were looked for. */
  readonly #absent = new Set<string>();

  constructor(rules: Rules, heapBytes = getHeapStatistics().heap_size_limit) {
    this.#rules = rules;
    this.streams = new Recent(heapBytes * HEAP_SHARE_OF_STREAMS, bytesOfHead);
    this.accounts = new Recent(heapBytes * HEAP_SHARE_OF_ACCOUNTS, () => ACCOUNT_BYTES);
    this.holds = new Recent(heapBytes * HEAP_SHARE_OF_HOLDS, () => HOLD_BYTES);
  }

  drop(): void {
    this.frontier = undefined;
    this.streams.clear();
    this.accounts.clear();
    this.holds.clear();
    this.#absent.clear();
  }

  /** True when every stream and account the commands need is here, as of one head. */
  covers(needs: readonly Needs[]): boolean {
    return (
      this.frontier !== undefined &&
      needs.every(
        (need) => need.streams.every((s) => this.streams.has(s)) && need.accounts.every((a) => this.accounts.has(a)),
      )
    );
  }

  /** Moves the whole cache to the current head and adds what is needed: one round trip, two after a long absence. */
  async load(connection: Connection, shard: number, needs: readonly Needs[]): Promise<void> {
    for (const part of [this.streams, this.accounts, this.holds]) part.trim();
    for (const account of this.#absent) if (!this.accounts.get(account)) this.accounts.delete(account); // may be open by now
    this.#absent.clear();
    const streams = missing(
      needs.flatMap((need) => need.streams),
      this.streams,
    );
    const accounts = missing(
      needs.flatMap((need) => need.accounts),
      this.accounts,
    );
    const from = this.frontier?.size ?? NOTHING_MISSED;
    const [row] = await connection.query<LoadRow>(STATEMENTS.loadShard, [shard, from, CATCH_UP_MAX, streams, accounts]);
    if (!row) throw new TypeError(`no shard ${shard}`);
    const head = Number(row.head);
    if (this.frontier && head - from > CATCH_UP_MAX) {
      this.drop();
      return this.load(connection, shard, needs);
    }
    for (const stream of streams) this.streams.set(stream, this.#emptyHead(stream));
    for (const account of accounts) {
      this.accounts.set(account, undefined);
      this.#absent.add(account);
    }
    for (const found of row.streams) this.streams.set(found[0], readHead(found));
    for (const found of row.accounts) this.accounts.set(found[0], readBalance(found));
    this.frontier = readFrontier(head, row.frontier);
    this.atUs = row.at_us;
  }

  /** Amounts never change, so holds outlive every change of head. */
  async loadHolds(connection: Connection, shard: number, names: readonly string[]): Promise<void> {
    const places = names.map((name) => name.split('.').map(Number));
    const rows = await connection.query<{ pos: bigint; ord: number; amount: bigint }>(STATEMENTS.loadHolds, [
      shard,
      places.map((place) => place[0]),
      places.map((place) => place[1]),
    ]);
    for (const name of names) this.holds.set(name, undefined);
    for (const { pos, ord, amount } of rows) this.holds.set(`${pos}.${ord}`, amount);
  }

  #emptyHead(stream: string): StreamHead {
    const decider = deciderOf(this.#rules, stream);
    const known = this.#empty.get(decider.kind);
    if (known) return known;
    const stateText = jcs(decider.initial);
    const head: StreamHead = {
      version: 0,
      createdPos: null,
      receiptSeq: 0,
      receiptHash: '',
      state: decider.initial,
      stateText,
      stateHash: sha256Hex(stateText),
      owner: decider.owner(decider.initial),
    };
    this.#empty.set(decider.kind, head);
    return head;
  }
}

type HeadRow = [
  stream: string,
  version: number,
  createdPos: number | null,
  seq: number,
  hash: string,
  state: string,
  owner: string | null,
];
type AccountRow = [account: string, debits: string, credits: string, held: string];
interface LoadRow {
  head: bigint;
  at_us: bigint;
  frontier: Buffer;
  streams: HeadRow[];
  accounts: AccountRow[];
}

const bytesOfHead = ({ stateText }: StreamHead): number => HEAD_BYTES + BYTES_PER_STATE_CHAR * stateText.length;

const missing = (names: string[], known: { has(name: string): boolean }): string[] =>
  [...new Set(names)].filter((name) => !known.has(name));

const readHead = ([, version, createdPos, receiptSeq, receiptHash, stateText, owner]: HeadRow): StreamHead => ({
  version,
  createdPos,
  receiptSeq,
  receiptHash,
  owner,
  stateText,
  state: JSON.parse(stateText),
  stateHash: sha256Hex(stateText),
});

const readBalance = ([, debits, credits, held]: AccountRow): Balance => ({
  debitsMicros: BigInt(debits),
  creditsMicros: BigInt(credits),
  heldMicros: BigInt(held),
});

/** Later commands of a batch see the earlier ones' effects here; kept only when the batch commits. */
export class Draft {
  readonly streams = new Map<string, StreamHead>();
  readonly accounts = new Map<string, Balance>();
  readonly holds = new Map<string, bigint>();
  /** A hold is resolved once: nobody needs its amount again. */
  readonly #resolved: string[] = [];
  /** To be read before the batch can be planned. */
  readonly missingHolds: string[] = [];
  readonly #cache: Cache;

  constructor(cache: Cache) {
    this.#cache = cache;
  }

  stream(name: string): StreamHead {
    const head = this.streams.get(name) ?? this.#cache.streams.get(name);
    if (!head) throw new TypeError(`the stream ${name} was not loaded`);
    return head;
  }

  /** @errors throws when the account was not loaded. */
  availableMicros(account: string): bigint | undefined {
    const balance = this.#balance(account);
    if (!balance && !this.#cache.accounts.has(account)) throw new TypeError(`the account ${account} was not loaded`);
    return balance && balance.creditsMicros - balance.debitsMicros - balance.heldMicros;
  }

  open(account: string): void {
    this.accounts.set(account, { debitsMicros: 0n, creditsMicros: 0n, heldMicros: 0n });
  }

  /** Whether the amounts of all holds that are resolved are known; those that are not are kept in `missingHolds`. */
  knowsHolds(postings: readonly Posting[]): boolean {
    const names = postings.flatMap(({ hold }) => (hold ? [holdName(hold)] : []));
    const unknown = names.filter((name) => !this.holds.has(name) && !this.#cache.holds.has(name));
    this.missingHolds.push(...unknown);
    return unknown.length === 0;
  }

  apply(posting: Posting, place: { pos: number; ord: number }): void {
    const kind = posting.kind ?? 'posted';
    if (kind === 'pending') this.holds.set(holdName(place), posting.amountMicros);
    const name = posting.hold ? holdName(posting.hold) : '';
    if (posting.hold) this.#resolved.push(name);
    const released = posting.hold ? (this.holds.get(name) ?? this.#cache.holds.get(name) ?? 0n) : 0n;
    const moved = kind === 'posted' || kind === 'post' ? posting.amountMicros : 0n;
    const held = kind === 'pending' ? posting.amountMicros : -released;
    this.#move(posting.debit, moved, 0n, held);
    this.#move(posting.credit, 0n, moved, 0n);
  }

  /** The cache becomes what the batch made of it. */
  keep(frontier: Frontier, atUs: bigint): void {
    for (const [stream, head] of this.streams) this.#cache.streams.set(stream, head);
    for (const [account, balance] of this.accounts) this.#cache.accounts.set(account, balance);
    for (const [hold, amountMicros] of this.holds) this.#cache.holds.set(hold, amountMicros);
    for (const hold of this.#resolved) this.#cache.holds.delete(hold);
    this.#cache.frontier = frontier;
    this.#cache.atUs = atUs;
  }

  /** Accounts nobody has asked about are not tracked: the database alone moves them. */
  #move(account: string, debitMicros: bigint, creditMicros: bigint, heldMicros: bigint): void {
    const balance = this.#balance(account);
    if (!balance) return;
    this.accounts.set(account, {
      debitsMicros: balance.debitsMicros + debitMicros,
      creditsMicros: balance.creditsMicros + creditMicros,
      heldMicros: balance.heldMicros + heldMicros,
    });
  }

  #balance(account: string): Balance | undefined {
    return this.accounts.get(account) ?? this.#cache.accounts.get(account);
  }
}
