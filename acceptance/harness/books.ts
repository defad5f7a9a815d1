/**
 * A look into the embedded database, past every program: the books as they stand.
 * Promise: reads only; nothing here can change what a test looks at.
 */
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { until } from './until.ts';

const SOCKET_PORT = 5432;
const READER = 'tally_meter';
const SOCKET_NAME_CHARS = 12;
const CONNECT_MS_MAX = 5_000;

export type Row = Record<string, unknown>;

/** Where the embedded server of a platform folder listens. */
export function socketFolderOf(folder: string): string {
  const name = createHash('sha256').update(join(folder, 'data')).digest('hex').slice(0, SOCKET_NAME_CHARS);
  return join(tmpdir(), `tally-${name}`);
}

/** Whole numbers of the database come as bigint. */
const TYPES: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format: 'text' | 'binary') =>
    oid === pg.types.builtins.INT8 || oid === pg.types.builtins.NUMERIC
      ? BigInt
      : pg.types.getTypeParser(oid, format)) as pg.CustomTypesConfig['getTypeParser'],
};

/** @errors rejects when the database does not answer */
export async function query<R extends Row = Row>(folder: string, text: string, values: unknown[] = []): Promise<R[]> {
  const client = new pg.Client({
    host: socketFolderOf(folder),
    port: SOCKET_PORT,
    user: READER,
    database: 'postgres',
    types: TYPES,
    connectionTimeoutMillis: CONNECT_MS_MAX,
  });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query('set default_transaction_read_only = on');
    return (await client.query<R>(text, values)).rows;
  } finally {
    await client.end();
  }
}

/** What a posting-by-posting recount finds wrong; empty when the books are right. */
export async function bookProblems(folder: string): Promise<string[]> {
  const rows = await query<{ problem: string }>(folder, BOOK_CHECKS);
  const problems = rows.map(({ problem }) => problem);
  await until('a signed checkpoint stands over everything', async () => !(await hasUnsignedHead(folder))).catch(
    ({ message }: Error) => problems.push(message),
  );
  return problems;
}

/** Receipts are committed first and signed then: between the two, and until a dead signer is replaced, this is true. */
async function hasUnsignedHead(folder: string): Promise<boolean> {
  return (await query(folder, UNSIGNED_HEAD)).length > 0;
}

const UNSIGNED_HEAD = `select s.head from engine.shard s
  where not exists (select from engine.checkpoint c where c.shard = s.shard and c.size = s.head and c.note is not null)`;

const BOOK_CHECKS = `
with moved as (
  select account, asset, sum(d) as d, sum(c) as c from (
    select debit as account, asset, amount as d, 0 as c from engine.posting where kind in (0, 2)
    union all select credit, asset, 0, amount from engine.posting where kind in (0, 2)) m
  group by account, asset),
balance as (
  select asset, sum(credits_posted - debits_posted) as balance, sum(debits_pending) - sum(credits_pending) as pending
  from engine.account group by asset),
chain as (
  select stream, count(*) as n, min(seq) as lo, max(seq) as hi from engine.receipt group by stream),
log as (select count(*) as n, min(pos) as lo, max(pos) as hi from engine.receipt)
select 'the accounts of ' || asset || ' sum up to ' || balance as problem from balance where balance <> 0 or pending <> 0
union all
select 'the account ' || a.account || ' is not what its postings make it' from engine.account a
  left join moved m on m.account = a.account and m.asset = a.asset
  where (a.debits_posted, a.credits_posted) <> (coalesce(m.d, 0), coalesce(m.c, 0))
union all
select 'the account ' || account || ' is overdrawn' from engine.account
  where no_overdraft and debits_posted + debits_pending > credits_posted
union all
select 'the head is ' || s.head || ', the log has ' || l.n || ' receipts from ' || l.lo || ' to ' || l.hi
  from engine.shard s, log l where l.n <> s.head or l.lo <> 0 or l.hi <> s.head - 1
union all
select 'the stream ' || stream || ' has ' || n || ' receipts from ' || lo || ' to ' || hi from chain
  where hi - lo + 1 <> n
union all
select 'the stream ' || h.stream || ' stands at receipt ' || h.receipt_seq || ', its last one is ' || c.hi
  from engine.stream_head h join chain c using (stream) where c.hi <> h.receipt_seq
union all
select 'the stream ' || a.stream || ' changes its owner at receipt ' || b.seq || ': nobody''s export has all of it'
  from engine.receipt a join engine.receipt b on b.shard = a.shard and b.stream = a.stream and b.seq = a.seq + 1
  where a.owner is not null and b.owner is distinct from a.owner`;

/** Receipts so far. */
export async function logHead(folder: string): Promise<bigint> {
  const [row] = await query<{ head: bigint }>(folder, 'select head from engine.shard');
  return row!.head;
}

/** Micros that went from a sandbox's escrow to whoever ran it. */
export async function earnedMicros(folder: string, sandboxId: string): Promise<bigint> {
  const [row] = await query<{ micros: bigint }>(
    folder,
    `select coalesce(sum(amount), 0)::bigint as micros from engine.posting
     where asset = 'usd' and debit = $1 and credit like 'provider:%'`,
    [`escrow:${sandboxId}`],
  );
  return row!.micros;
}

/** What is neither delivered nor refunded. */
export async function escrowMicros(folder: string, sandboxId: string): Promise<bigint> {
  const [row] = await query<{ micros: bigint }>(
    folder,
    'select credits_posted - debits_posted as micros from engine.account where account = $1',
    [`escrow:${sandboxId}`],
  );
  return row!.micros;
}

/** What tests look at in a receipt. */
export interface StoredReceipt {
  seq: number;
  at_us: string;
  command: { type: string; actor: string; body: Row };
  decision: { rejection: string | null; state_hash: string };
  policy: { hash: string; rule: string | null };
  postings: { asset: string; debit: string; credit: string; amount_micros: string }[];
}

/** A stream's receipts, oldest first. */
export async function receiptsOf(folder: string, stream: string): Promise<StoredReceipt[]> {
  const rows = await query<{ body: string }>(
    folder,
    `select convert_from(payload, 'UTF8') as body from engine.receipt where stream = $1 order by seq`,
    [stream],
  );
  return rows.map(({ body }) => JSON.parse(body) as StoredReceipt);
}
