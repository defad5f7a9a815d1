/**
 * What the whole path is measured against: a naive transfer, and inserting the same rows with nothing around them.
 * Promise: the rivals run on the same server in the same rounds, and pay one hot account as the sales do.
 */
import type { Database } from '@tallystick/engine/database';
import pg from 'pg';

export interface Rival {
  callers: (() => Promise<unknown>)[];
  /** Postings that one call makes. */
  postings: number;
  close(): Promise<void>;
}

const PLENTY = 1_000_000_000_000;

async function connect(database: Database): Promise<pg.Client> {
  const client = new pg.Client({ ...database.as('owner'), types: pg.types });
  await client.connect();
  return client;
}

/** BEGIN, SELECT FOR UPDATE of both accounts, two UPDATEs, one INSERT, COMMIT; every client pays the same account. */
export async function naiveTransfers(database: Database, clients: number): Promise<Rival> {
  const setUp = await connect(database);
  await setUp.query(`drop schema if exists naive cascade; create schema naive;
    create table naive.account (id int primary key, micros bigint not null check (micros >= 0));
    create table naive.posting (id bigint generated always as identity primary key, debit int, credit int, micros bigint, at timestamptz default now());
    insert into naive.account select i, ${PLENTY} from generate_series(0, ${clients}) i`);
  await setUp.end();
  const open = await Promise.all(Array.from({ length: clients }, () => connect(database)));
  return {
    callers: open.map((client, i) => () => transfer(client, i + 1, 0)),
    postings: 1,
    close: async () => void (await Promise.all(open.map((client) => client.end()))),
  };
}

async function transfer(client: pg.Client, debit: number, credit: number): Promise<void> {
  await client.query('begin');
  await client.query({
    name: 'lock',
    text: 'select micros from naive.account where id = any($1) order by id for update',
    values: [[debit, credit]],
  });
  await client.query({
    name: 'debit',
    text: 'update naive.account set micros = micros - $2 where id = $1',
    values: [debit, 1000],
  });
  await client.query({
    name: 'credit',
    text: 'update naive.account set micros = micros + $2 where id = $1',
    values: [credit, 1000],
  });
  await client.query({
    name: 'insert',
    text: 'insert into naive.posting (debit, credit, micros) values ($1, $2, $3)',
    values: [debit, credit, 1000],
  });
  await client.query('commit');
}

/** Tables a batch of sales writes, and the columns of a row. */
const TABLES: Record<string, readonly (readonly [column: string, type: string])[]> = {
  receipt: [
    ['pos', 'bigint'],
    ['stream', 'text'],
    ['seq', 'bigint'],
    ['owner', 'text'],
    ['payload', 'bytea'],
  ],
  stream_head: [
    ['stream', 'text'],
    ['kind', 'text'],
    ['owner', 'text'],
    ['version', 'bigint'],
    ['created_pos', 'bigint'],
    ['pos', 'bigint'],
    ['receipt_seq', 'bigint'],
    ['receipt_hash', 'bytea'],
    ['state', 'text'],
  ],
  posting: [
    ['pos', 'bigint'],
    ['ord', 'smallint'],
    ['kind', 'smallint'],
    ['asset', 'text'],
    ['debit', 'text'],
    ['credit', 'text'],
    ['amount', 'bigint'],
    ['at_us', 'bigint'],
  ],
  idempotency: [
    ['principal', 'text'],
    ['key', 'text'],
    ['fingerprint', 'bytea'],
    ['answer', 'text'],
    ['pos', 'bigint'],
  ],
  timer: [
    ['timer', 'text'],
    ['round', 'bigint'],
    ['due_us', 'bigint'],
    ['command', 'text'],
  ],
  outbox: [
    ['pos', 'bigint'],
    ['ord', 'smallint'],
    ['topic', 'text'],
    ['lane', 'text'],
    ['body', 'text'],
    ['not_before_us', 'bigint'],
  ],
};

/** The rows that the shard's newest `commands` sales left, into tables without index, trigger, key or check: one statement. */
export async function rawInserts(
  database: Database,
  shard: number,
  commands: number,
  postings: number,
): Promise<Rival> {
  const client = await connect(database);
  const bare = Object.keys(TABLES).map(
    (table) => `create table raw.${table} (like engine.${table} including defaults including generated)`,
  );
  await client.query(`drop schema if exists raw cascade; create schema raw; ${bare.join('; ')}`);
  await client.query(`set plan_cache_mode = 'force_generic_plan'`);
  const {
    rows: [shardRow],
  } = await client.query('select head from engine.shard where shard = $1', [shard]);
  const from = Number(shardRow.head) - commands;
  const [inserts, values]: [string[], string[]] = [[], []];
  for (const [table, columns] of Object.entries(TABLES)) {
    const casts = columns.map(([, type], i) => `$${values.length + i + 1}::${type}[]`);
    const names = columns.map(([name]) => name).join(', ');
    inserts.push(
      `new_${table} as (insert into raw.${table} (shard, ${names}) select 0::smallint, n.* from unnest(${casts.join(', ')}) as n(${names}))`,
    );
    values.push(...(await columnsOf(client, shard, table, columns, from, commands)));
  }
  const statement = { name: 'raw', text: `with ${inserts.join(', ')} select 1`, values };
  return { callers: [() => client.query(statement)], postings, close: () => client.end() };
}

/** Each column as an array literal, made once: the rival spends nothing on making its rows. */
async function columnsOf(
  client: pg.Client,
  shard: number,
  table: string,
  columns: readonly (readonly [string, string])[],
  from: number,
  commands: number,
): Promise<string[]> {
  const isByPosition = columns.some(([name]) => name === 'pos') && table !== 'stream_head';
  const where = isByPosition ? 'pos >= $2' : '$2::bigint is not null';
  const arrays = columns.map(([name, type]) => `(array_agg(${name}::${type} order by ord_))::text as "${name}"`);
  const {
    rows: [row],
  } = await client.query(
    `select ${arrays.join(', ')} from (select *, row_number() over () as ord_ from engine.${table} where shard = $1 and ${where} limit $3) t`,
    [shard, from, isByPosition ? commands * 2 : commands],
  );
  return columns.map(([name]) => row[name] as string);
}
