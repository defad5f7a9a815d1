/**
 * Rebuilds a shard from its receipts alone and compares it with every table.
 * Promise: no problem means that every stored state, balance, count, root and note follows from the receipts.
 */
import {
  appendLeaves,
  applyReceipt,
  type Frontier,
  isCanonical,
  type JsonObject,
  jcs,
  type LogKey,
  leafHash,
  memoryWorld,
  openCheckpoint,
  packFrontier,
  parseStrict,
  type Receipt,
  type Rules,
  rootOf,
  sha256Hex,
  type World,
} from '@tallystick/kernel';
import pg from 'pg';
import type { Statement } from './connection.ts';
import type { Database, Role } from './database/database.ts';
import { STATEMENTS } from './statements.ts';

const PAGE_ROWS = 2_000;
const PROBLEMS_MAX = 50;
const MARK_EVERY_RECEIPTS = 100_000;

export interface AuditOptions {
  database: Database;
  role: Role;
  rules: Rules;
  logKey: Pick<LogKey, 'origin' | 'publicKey' | 'keyHash'>;
  shard?: number;
  /** Called after every page of the log. */
  onProgress?: (progress: AuditProgress) => void;
  /** Receipts read at once; absent: 2000. */
  pageRows?: number;
  /** Absent: 100 000; a mark holds every state, so it is not made too often. */
  markEveryReceipts?: number;
  /** Called every `markEveryReceipts` with all that is known so far, which `from` of a later audit goes on with. */
  onMark?: (mark: AuditMark) => void;
  /** What was read before is not read again; the root at the end still covers it. */
  from?: AuditMark;
}

export interface AuditProgress {
  receipts: number;
  /** As of the snapshot that is audited. */
  head: number;
  problems: number;
}

/** An audit's memory after so many receipts; fit for `structuredClone` and `node:v8` `serialize`. */
export interface AuditMark {
  shard: number;
  log: Frontier;
  streams: World['streams'];
  accounts: World['ledger']['accounts'];
  holds: World['ledger']['holds'];
  atUs: bigint;
  postings: number;
  problems: string[];
}

export interface Audit {
  receipts: number;
  /** Each says where; at most PROBLEMS_MAX. */
  problems: string[];
}

interface Work {
  query: <R extends pg.QueryResultRow>(statement: Statement, values: unknown[]) => Promise<R[]>;
  shard: number;
  world: World;
  log: Frontier;
  postings: number;
  problems: string[];
}

/** Reads one snapshot, so it may run beside any number of writers. @errors throws RangeError for a mark of another shard */
export async function auditShard(options: AuditOptions): Promise<Audit> {
  const { database, role, logKey } = options;
  const client = new pg.Client(database.as(role));
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query('begin transaction isolation level repeatable read read only');
    const work = workOf(options, async (statement, values) => (await client.query({ ...statement, values })).rows);
    await replayLog(work, await readCheckpoints(work, logKey), options);
    await compareShard(work);
    await compareStreams(work);
    await compareLedger(work);
    return { receipts: work.log.size, problems: work.problems.slice(0, PROBLEMS_MAX) };
  } finally {
    await client.end();
  }
}

function workOf({ rules, shard = 0, from }: AuditOptions, query: Work['query']): Work {
  const world = memoryWorld(rules, { isStrict: false });
  if (!from) return { query, shard, world, log: { size: 0, roots: [] }, postings: 0, problems: [] };
  if (from.shard !== shard) throw new RangeError(`the mark is of shard ${from.shard}, this is shard ${shard}`);
  for (const [name, stream] of from.streams) world.streams.set(name, stream);
  for (const [name, account] of from.accounts) world.ledger.accounts.set(name, account);
  for (const [name, hold] of from.holds) world.ledger.holds.set(name, hold);
  Object.assign(world, { head: from.log.size, atUs: from.atUs });
  return { query, shard, world, log: from.log, postings: from.postings, problems: [...from.problems] };
}

function markOf({ shard, log, world, postings, problems }: Work): AuditMark {
  const { streams, ledger, atUs } = world;
  return { shard, log, streams, accounts: ledger.accounts, holds: ledger.holds, atUs, postings, problems };
}

/** Roots by size; a note must be signed by the log's key, over this root. */
async function readCheckpoints(work: Work, logKey: AuditOptions['logKey']): Promise<Map<number, Buffer>> {
  const roots = new Map<number, Buffer>();
  let after = 0n;
  while (true) {
    type Row = { size: bigint; root: Buffer; note: string | null };
    const rows = await work.query<Row>(STATEMENTS.auditCheckpoints, [work.shard, after, PAGE_ROWS]);
    for (const { size, root, note } of rows) {
      roots.set(Number(size), root);
      const opened = note === null ? undefined : openCheckpoint(logKey, note);
      if (note !== null && (opened?.size !== Number(size) || !opened.root.equals(root)))
        work.problems.push(`the note of checkpoint ${size} does not open`);
    }
    if (rows.length < PAGE_ROWS) return roots;
    after = rows.at(-1)!.size;
  }
}

async function replayLog(work: Work, roots: Map<number, Buffer>, options: AuditOptions): Promise<void> {
  const { onProgress, onMark, pageRows = PAGE_ROWS, markEveryReceipts = MARK_EVERY_RECEIPTS } = options;
  const head = await headOf(work);
  for (const size of roots.keys()) if (size <= work.log.size) roots.delete(size); // checked before the mark was made
  let markedAt = work.log.size;
  while (work.problems.length < PROBLEMS_MAX) {
    const rows = await work.query<{ pos: bigint; payload: Buffer }>(STATEMENTS.allReceipts, [
      work.shard,
      work.log.size - 1,
      pageRows,
    ]);
    for (const { pos, payload } of rows) {
      if (Number(pos) !== work.log.size) {
        work.problems.push(`the log has a gap before receipt ${pos}`);
        return;
      }
      replayReceipt(work, Number(pos), payload);
      const root = roots.get(work.log.size);
      if (root && !root.equals(rootOf(work.log))) work.problems.push(`checkpoint ${work.log.size} has another root`);
      roots.delete(work.log.size);
    }
    onProgress?.({ receipts: work.log.size, head, problems: work.problems.length });
    if (rows.length < pageRows) break;
    if (work.log.size - markedAt < markEveryReceipts) continue;
    onMark?.(markOf(work));
    markedAt = work.log.size;
  }
  for (const size of roots.keys()) work.problems.push(`checkpoint ${size} is beyond the log`);
}

async function headOf(work: Work): Promise<number> {
  const [row] = await work.query<{ head: bigint }>(STATEMENTS.auditShard, [work.shard]);
  if (!row) throw new RangeError(`no shard ${work.shard}`);
  return Number(row.head);
}

function replayReceipt(work: Work, pos: number, payload: Buffer): void {
  work.log = appendLeaves(work.log, [leafHash(payload)]).frontier;
  if (!isCanonical(payload)) {
    work.problems.push(`receipt ${pos}: the bytes are not canonical`);
    return;
  }
  const receipt = parseStrict(payload) as unknown as Receipt;
  work.postings += receipt.postings.length;
  const { problems } = applyReceipt(work.world, receipt, { pos, hash: sha256Hex(payload) });
  work.problems.push(...problems.map(({ pointer, problem }) => `receipt ${pos}${pointer}: ${problem}`));
}

async function compareShard(work: Work): Promise<void> {
  const [row] = await work.query<{ head: bigint; at_us: bigint; frontier: Buffer }>(STATEMENTS.auditShard, [
    work.shard,
  ]);
  if (!row) throw new RangeError(`no shard ${work.shard}`);
  expect(work, Number(row.head) === work.log.size, `the head is ${row.head}, the log has ${work.log.size} receipts`);
  expect(work, row.frontier.equals(packFrontier(work.log)), 'the frontier is not that of the log');
  expect(work, row.at_us === work.world.atUs, 'the clock is not that of the newest receipt');
}

async function compareStreams(work: Work): Promise<void> {
  type Row = {
    stream: string;
    owner: string | null;
    version: bigint;
    receipt_seq: bigint;
    hash: string;
    state: string;
  };
  const rows = await work.query<Row>(STATEMENTS.auditHeads, [work.shard]);
  expect(
    work,
    rows.length === work.world.streams.size,
    `there are ${rows.length} streams, the receipts make ${work.world.streams.size}`,
  );
  for (const row of rows) {
    const made = work.world.streams.get(row.stream);
    const isSame =
      made &&
      Number(row.version) === made.version &&
      Number(row.receipt_seq) === made.seq &&
      row.hash === made.hash &&
      row.owner === made.owner &&
      row.state === jcs(made.state as JsonObject);
    expect(work, isSame === true, `the stream ${row.stream} is not what its receipts make it`);
  }
}

async function compareLedger(work: Work): Promise<void> {
  type Row = {
    account: string;
    asset: string;
    no_overdraft: boolean;
    debits_posted: bigint;
    credits_posted: bigint;
    debits_pending: bigint;
    credits_pending: bigint;
  };
  const { accounts } = work.world.ledger;
  const rows = await work.query<Row>(STATEMENTS.auditAccounts, [work.shard]);
  expect(work, rows.length === accounts.size, `there are ${rows.length} accounts, the receipts open ${accounts.size}`);
  for (const row of rows) {
    const made = accounts.get(row.account);
    const isSame =
      made &&
      row.asset === made.asset &&
      row.no_overdraft === made.noOverdraft &&
      row.debits_posted === made.debitsMicros &&
      row.credits_posted === made.creditsMicros &&
      row.debits_pending === made.debitsHeldMicros &&
      row.credits_pending === made.creditsHeldMicros;
    expect(work, isSame === true, `the account ${row.account} is not what its postings make it`);
  }
  const [count] = await work.query<{ postings: bigint }>(STATEMENTS.auditPostings, [work.shard]);
  expect(
    work,
    Number(count!.postings) === work.postings,
    `there are ${count!.postings} postings, the receipts have ${work.postings}`,
  );
}

function expect(work: Work, isRight: boolean, problem: string): void {
  if (!isRight) work.problems.push(problem);
}
