/**
 * Reading what was committed: streams, balances, receipts.
 * Promise: every answer is of one moment; a page is bounded, and its cursor is a position that never shifts.
 */
import { type JsonObject, jcs, parseStrict, receiptIdOf, receiptPlace } from '@tallystick/kernel';
import type { Engine } from './commit/engine.ts';
import { grouped } from './grouped.ts';
import { type Outcome, replayAnswer } from './outcome.ts';
import { STATEMENTS } from './statements.ts';

/** Rows of one page at most. */
export const PAGE_MAX = 1_000;
/** `after` of a first page of receipts. */
export const FROM_START = -1;

export interface StreamRow {
  stream: string;
  version: number;
  receiptSeq: number;
  owner: string | null;
  /** Position of its first event; undefined while it has only refusals. */
  createdPos: number | undefined;
  /** Id of its newest receipt. */
  receiptId: string;
  state: JsonObject;
}

interface HeadRow {
  stream: string;
  version: bigint;
  receipt_seq: bigint;
  owner: string | null;
  created_pos: bigint | null;
  pos: bigint;
  at_us: string;
  state: string;
}

const streamOf = (shard: number, row: HeadRow): StreamRow => ({
  stream: row.stream,
  version: Number(row.version),
  receiptSeq: Number(row.receipt_seq),
  owner: row.owner,
  createdPos: row.created_pos === null ? undefined : Number(row.created_pos),
  receiptId: receiptIdOf(shard, Number(row.pos), BigInt(row.at_us)),
  state: JSON.parse(row.state),
});

/** Undefined for a stream without a receipt. */
export async function readStream(engine: Engine, stream: string): Promise<StreamRow | undefined> {
  const [row] = await engine.query<HeadRow>(STATEMENTS.readStream, [engine.shard, stream]);
  return row && streamOf(engine.shard, row);
}

/** Streams that are read together at most. */
const STREAMS_TOGETHER_MAX = 128;

/** As `readStream`; what is asked at about the same time is read together. */
export const streamReader = (engine: Engine): ((stream: string) => Promise<StreamRow | undefined>) =>
  grouped(async (streams: readonly string[]) => {
    const rows = await engine.query<HeadRow>(STATEMENTS.readStreams, [engine.shard, [...new Set(streams)]]);
    const found = new Map(rows.map((row) => [row.stream, streamOf(engine.shard, row)]));
    return streams.map((stream) => found.get(stream));
  }, STREAMS_TOGETHER_MAX);

/** What a principal's commands under these keys came to; a key that was not used is absent. */
export async function readOutcomes(
  engine: Engine,
  principal: string,
  keys: readonly string[],
): Promise<ReadonlyMap<string, Outcome>> {
  type Row = { key: string; answer: string; pos: bigint };
  const rows = await engine.query<Row>(STATEMENTS.outcomesOfKeys, [engine.shard, principal, keys]);
  return new Map(rows.map(({ key, answer, pos }) => [key, replayAnswer(engine.shard, Number(pos), answer, true)]));
}

/** Streams whose status is read together at most. */
const STATUSES_TOGETHER_MAX = 512;

/** The status in a stream's state; null when it has none, undefined without a receipt. */
export type StatusOf = (stream: string) => Promise<string | null | undefined>;

/** What is asked at about the same time is read together. */
export const statusReader = (engine: Engine): StatusOf =>
  grouped(async (streams: readonly string[]) => {
    type Row = { stream: string; status: string | null };
    const rows = await engine.query<Row>(STATEMENTS.statusOfStreams, [engine.shard, [...new Set(streams)]]);
    const found = new Map(rows.map(({ stream, status }) => [stream, status]));
    return streams.map((stream) => found.get(stream));
  }, STATUSES_TOGETHER_MAX);

export interface StreamQuery {
  kind: string;
  /** Absent: of every owner. */
  owner?: string;
  /** `createdPos` of the last row of the page before. */
  after?: number;
  limit: number;
  /** What the state must contain. */
  filter?: JsonObject;
}

/** Newest first. */
export async function listStreams(
  engine: Engine,
  { kind, owner, after, limit, filter = {} }: StreamQuery,
): Promise<StreamRow[]> {
  const before = after ?? Number.MAX_SAFE_INTEGER;
  const values = [engine.shard, kind, owner ?? null, before, jcs(filter), Math.min(limit, PAGE_MAX)];
  return (await engine.query<HeadRow>(STATEMENTS.listStreams, values)).map((row) => streamOf(engine.shard, row));
}

type StatusQuery = Pick<StreamQuery, 'kind' | 'after' | 'limit'> & { status: string };

/** Before every stream of a shard. */
const BEFORE_ALL = -1;

/** Of every owner, newest first; costs what it finds, however many streams have another status. */
export async function streamsOfStatus(
  engine: Engine,
  { kind, status, after, limit }: StatusQuery,
): Promise<StreamRow[]> {
  const values = [engine.shard, kind, status, after ?? Number.MAX_SAFE_INTEGER, Math.min(limit, PAGE_MAX)];
  return (await engine.query<HeadRow>(STATEMENTS.streamsOfStatus, values)).map((row) => streamOf(engine.shard, row));
}

/** Streams of a status that are looked through for those with a content, at most. */
export const LOOKED_THROUGH_MAX = 10_000;

/** The same with what the state must contain; only the newest `lookMax` of the status are looked through, however many there are. */
export async function streamsOfStatusWith(
  engine: Engine,
  {
    kind,
    status,
    after,
    limit,
    filter,
    lookMax = LOOKED_THROUGH_MAX,
  }: StatusQuery & { filter: JsonObject; lookMax?: number },
): Promise<StreamRow[]> {
  const before = after ?? Number.MAX_SAFE_INTEGER;
  const values = [engine.shard, kind, status, before, jcs(filter), lookMax, Math.min(limit, PAGE_MAX)];
  return (await engine.query<HeadRow>(STATEMENTS.streamsOfStatusWith, values)).map((row) =>
    streamOf(engine.shard, row),
  );
}

/** Of one owner, newest first; costs what it finds, however many of its streams have another status. */
export async function streamsOfOwner(
  engine: Engine,
  { kind, owner, statuses, limit }: { kind: string; owner: string; statuses: readonly string[]; limit: number },
): Promise<StreamRow[]> {
  const values = [engine.shard, kind, owner, statuses, Math.min(limit, PAGE_MAX)];
  return (await engine.query<HeadRow>(STATEMENTS.streamsOfOwner, values)).map((row) => streamOf(engine.shard, row));
}

/** The same, oldest first. */
export async function oldestOfStatus(
  engine: Engine,
  { kind, status, after, limit }: StatusQuery,
): Promise<StreamRow[]> {
  const values = [engine.shard, kind, status, after ?? BEFORE_ALL, Math.min(limit, PAGE_MAX)];
  return (await engine.query<HeadRow>(STATEMENTS.oldestOfStatus, values)).map((row) => streamOf(engine.shard, row));
}

/** Streams of an owner whose first receipts were nobody's yet: they were refusals, or told before somebody owned them. */
export async function streamsBegunUnowned(engine: Engine, owner: string): Promise<string[]> {
  const values = [engine.shard, [...engine.rules.deciders.keys()], owner];
  return (await engine.query<{ stream: string }>(STATEMENTS.streamsBegunUnowned, values)).map(({ stream }) => stream);
}

export interface AccountRow {
  account: string;
  asset: string;
  noOverdraft: boolean;
  debitsPostedMicros: bigint;
  creditsPostedMicros: bigint;
  debitsPendingMicros: bigint;
  creditsPendingMicros: bigint;
  /** Credits minus debits minus holds on the debit side. */
  availableMicros: bigint;
}

interface BalanceRow {
  account: string;
  asset: string;
  no_overdraft: boolean;
  debits_posted: bigint;
  credits_posted: bigint;
  debits_pending: bigint;
  credits_pending: bigint;
}

/** Those of the accounts that exist. */
export async function readBalances(engine: Engine, accounts: readonly string[]): Promise<AccountRow[]> {
  const rows = await engine.query<BalanceRow>(STATEMENTS.readBalances, [engine.shard, accounts]);
  return rows.map((row) => ({
    account: row.account,
    asset: row.asset,
    noOverdraft: row.no_overdraft,
    debitsPostedMicros: row.debits_posted,
    creditsPostedMicros: row.credits_posted,
    debitsPendingMicros: row.debits_pending,
    creditsPendingMicros: row.credits_pending,
    availableMicros: row.credits_posted - row.debits_posted - row.debits_pending,
  }));
}

export interface ReceiptRow {
  pos: number;
  /** As stored and hashed: authoritative, never serialised again. */
  bytes: Buffer;
}

/** Exactly one of `owner`, `stream` and `all`. */
export interface ReceiptQuery {
  owner?: string;
  stream?: string;
  all?: true;
  /** Position of the last receipt seen; FROM_START for the first page. */
  after: number;
  limit: number;
}

/** Oldest first. */
export async function readReceipts(
  engine: Engine,
  { owner, stream, all, after, limit }: ReceiptQuery,
): Promise<ReceiptRow[]> {
  if ([owner, stream, all].filter((choice) => choice !== undefined).length !== 1) {
    throw new TypeError('receipts of one owner, of one stream, or all');
  }
  const page = [engine.shard, after, Math.min(limit, PAGE_MAX)];
  const [statement, values] =
    owner !== undefined
      ? [STATEMENTS.receiptsOfOwner, [...page, owner]]
      : stream !== undefined
        ? [STATEMENTS.receiptsOfStream, [...page, stream]]
        : [STATEMENTS.allReceipts, page];
  const rows = await engine.query<{ pos: bigint; payload: Buffer }>(statement, values);
  return rows.map((row) => ({ pos: Number(row.pos), bytes: row.payload }));
}

export interface FoundReceipt extends ReceiptRow {
  owner: string | null;
  stream: string;
}

/** Undefined when there is none with this id. */
export async function readReceipt(engine: Engine, id: string): Promise<FoundReceipt | undefined> {
  const place = receiptPlace(id);
  if (place?.shard !== engine.shard) return undefined;
  const found = await readReceiptAt(engine, place.pos);
  if (!found) return undefined;
  const { at_us: atUs } = parseStrict(found.bytes) as { at_us: string };
  return receiptIdOf(engine.shard, found.pos, BigInt(atUs)) === id ? found : undefined;
}

/** Undefined beyond the head. */
export async function readReceiptAt(engine: Engine, pos: number): Promise<FoundReceipt | undefined> {
  type Row = { pos: bigint; owner: string | null; stream: string; payload: Buffer };
  const [row] = await engine.query<Row>(STATEMENTS.readReceipt, [engine.shard, pos]);
  return row && { pos: Number(row.pos), owner: row.owner, stream: row.stream, bytes: row.payload };
}

/** The newest signed note; undefined for an empty log. */
export async function latestCheckpoint(engine: Engine): Promise<{ size: number; note: string } | undefined> {
  const [row] = await engine.query<{ size: bigint; note: string }>(STATEMENTS.latestNote, [engine.shard]);
  return row && { size: Number(row.size), note: row.note };
}

/** Number of receipts, and position of the next. */
export async function head(engine: Engine): Promise<number> {
  const [row] = await engine.query<{ head: bigint }>(STATEMENTS.head, [engine.shard]);
  if (!row) throw new RangeError(`no shard ${engine.shard}`);
  return Number(row.head);
}

/** Per asset the sum of credits minus debits, posted and pending together: zero unless the ledger is broken. */
export async function trialBalance(engine: Engine): Promise<{ asset: string; sumMicros: bigint }[]> {
  const rows = await engine.query<{ asset: string; posted: string; pending: string }>(STATEMENTS.trialBalance, [
    engine.shard,
  ]);
  return rows.map(({ asset, posted, pending }) => ({ asset, sumMicros: BigInt(posted) + BigInt(pending) }));
}

/** What waits to be done; only the meter's role may look. */
export interface WaitingWork {
  outboxMessages: number;
  /** When the oldest undelivered message was committed. */
  oldestMessageUs: bigint | undefined;
  dueTimers: number;
  nextDueUs: bigint | undefined;
}

export async function waitingWork(engine: Engine): Promise<WaitingWork> {
  type Row = { outbox: bigint; oldest_us: string | null; due_timers: bigint; next_due_us: bigint | null };
  const [row] = await engine.query<Row>(STATEMENTS.waitingWork, [engine.shard, engine.nowUs()]);
  return {
    outboxMessages: Number(row!.outbox),
    oldestMessageUs: row!.oldest_us === null ? undefined : BigInt(row!.oldest_us),
    dueTimers: Number(row!.due_timers),
    nextDueUs: row!.next_due_us ?? undefined,
  };
}

/** The durable cursor of a named reader: the position after the last receipt it has dealt with, 0 at first. */
export async function readCursor(engine: Engine, name: string): Promise<number> {
  const [row] = await engine.query<{ pos: bigint }>(STATEMENTS.readCursor, [engine.shard, name]);
  return Number(row?.pos ?? 0);
}

/** Moves it forward, never back, never beyond the head. */
export async function advanceCursor(engine: Engine, name: string, pos: number): Promise<void> {
  await engine.query(STATEMENTS.advanceCursor, [engine.shard, name, pos]);
}
