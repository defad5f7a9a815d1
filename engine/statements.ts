/**
 * Every statement the engine sends, by name.
 * Promise: no SQL of the engine stands anywhere else; one test prepares them all on every supported server.
 */
import { COMMIT } from './commit/write-set.ts';
import type { Statement } from './connection.ts';

const named = <T extends Record<string, string>>(texts: T): { [K in keyof T]: Statement } =>
  Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, { name, text }])) as {
    [K in keyof T]: Statement;
  };

// One statement is one snapshot: what was asked for, and the current rows of everything touched since $2.
const TOUCHED = 'pos >= $2::bigint and s.head - $2::bigint <= $3::bigint';
const LOAD_SHARD = `select s.head, s.at_us, s.frontier,
  (select coalesce(json_agg(json_build_array(h.stream, h.version, h.created_pos, h.receipt_seq, encode(h.receipt_hash, 'hex'), h.state, h.owner)), '[]')
    from engine.stream_head h where h.shard = $1::smallint and h.stream = any($4::text[]
      || array(select distinct r.stream from engine.receipt r where r.shard = $1::smallint and r.${TOUCHED}))) as streams,
  (select coalesce(json_agg(json_build_array(a.account, a.debits_posted::text, a.credits_posted::text, a.debits_pending::text)), '[]')
    from engine.account a where a.shard = $1::smallint and a.account = any($5::text[]
      || array(select p.debit from engine.posting p where p.shard = $1::smallint and p.${TOUCHED}
               union select p.credit from engine.posting p where p.shard = $1::smallint and p.${TOUCHED}))) as accounts
  from engine.shard s where s.shard = $1::smallint`;

/** After a crash the process that made a reaction fires it no more; others wait a little so as not to race it. */
const DUE_TIMERS = `select timer, round, command from engine.timer
  where shard = $1::smallint and due_us <= $2::bigint and (timer not like 'reaction:%' or due_us <= $3::bigint)
    and not (timer || ':' || round = any($5::text[]))
  order by due_us, timer limit $4::int`;

/** With the time of the newest receipt, which is part of that receipt's id. */
const HEAD_COLUMNS = `h.stream, h.version, h.receipt_seq, h.owner, h.created_pos, h.pos, h.state,
  (select convert_from(r.payload, 'UTF8')::json ->> 'at_us' from engine.receipt r
    where r.shard = h.shard and r.pos = h.pos) as at_us`;

const LIST_STREAMS = `select ${HEAD_COLUMNS} from engine.stream_head h
  where shard = $1::smallint and kind = $2::text and created_pos is not null and ($3::text is null or owner = $3::text)
    and created_pos < $4::bigint and state::jsonb @> $5::jsonb
  order by created_pos desc limit $6::int`;

const STREAMS_OF_STATUS = `select ${HEAD_COLUMNS} from engine.stream_head h
  where shard = $1::smallint and kind = $2::text and status = $3::text and created_pos is not null
    and created_pos < $4::bigint
  order by created_pos desc limit $5::int`;

const STREAMS_OF_STATUS_WITH = `select ${HEAD_COLUMNS} from (
    select * from engine.stream_head
    where shard = $1::smallint and kind = $2::text and status = $3::text and created_pos is not null
      and created_pos < $4::bigint
    order by created_pos desc limit $6::int) h
  where h.state::jsonb @> $5::jsonb
  order by h.created_pos desc limit $7::int`;

const STREAMS_OF_OWNER = `select ${HEAD_COLUMNS} from engine.stream_head h
  where shard = $1::smallint and kind = $2::text and owner = $3::text and status = any($4::text[]) and created_pos is not null
  order by created_pos desc limit $5::int`;

const OLDEST_OF_STATUS = `select ${HEAD_COLUMNS} from engine.stream_head h
  where shard = $1::smallint and kind = $2::text and status = $3::text and created_pos is not null
    and created_pos > $4::bigint
  order by created_pos limit $5::int`;

const TRIAL_BALANCE = `select asset, sum(credits_posted::numeric - debits_posted)::text as posted,
  sum(credits_pending::numeric - debits_pending)::text as pending
  from engine.account where shard = $1::smallint group by asset order by asset`;

export const STATEMENTS = {
  commit: COMMIT,
  ...named({
    lockShard: 'select engine.lock_shard($1::smallint)',
    loadShard: LOAD_SHARD,
    loadHolds: `select p.pos, p.ord, p.amount from unnest($2::bigint[], $3::smallint[]) as n(pos, ord)
      join engine.posting p on p.shard = $1::smallint and p.pos = n.pos and p.ord = n.ord and p.kind = 1`,
    signCheckpoint: 'select engine.sign_checkpoint($1::smallint, $2::bigint, $3::text) as stored',
    newestRoot: `select size, root, note is not null as signed from engine.checkpoint
      where shard = $1::smallint order by size desc limit 1`,
    latestNote: `select size, note from engine.checkpoint where shard = $1::smallint and note is not null
      order by size desc limit 1`,
    databaseTime: 'select (extract(epoch from clock_timestamp()) * 1000000)::bigint as now_us',
    head: 'select head, at_us from engine.shard where shard = $1::smallint',
    dueTimers: DUE_TIMERS,
    takeOutbox: `select pos, ord, topic, body, attempts, at_us, receipt_hash
      from engine.take_outbox($1::smallint, $2::text[], $3::bigint, $4::bigint, $5::uuid, $6::int)`,
    settleOutbox: 'select pos, ord from engine.settle_outboxes($1::smallint, $2::bigint[], $3::smallint[], $4::uuid[])',
    postponeOutbox: `select engine.postpone_outbox($1::smallint, $2::bigint, $3::smallint, $4::uuid, $5::bigint, $6::text) as settled`,
    waitingWork: `select (select count(*) from engine.outbox where shard = $1::smallint and not done) as outbox,
      (select convert_from(r.payload, 'UTF8')::json ->> 'at_us' from engine.receipt r where r.shard = $1::smallint
        and r.pos = (select min(o.pos) from engine.outbox o where o.shard = $1::smallint and not o.done)) as oldest_us,
      (select count(*) from engine.timer where shard = $1::smallint and due_us <= $2::bigint) as due_timers,
      (select min(due_us) from engine.timer where shard = $1::smallint) as next_due_us`,
    readStream: `select ${HEAD_COLUMNS} from engine.stream_head h where h.shard = $1::smallint and h.stream = $2::text`,
    readStreams: `select ${HEAD_COLUMNS} from engine.stream_head h where h.shard = $1::smallint and h.stream = any($2::text[])`,
    outcomesOfKeys: `select key, answer, pos from engine.idempotency
      where shard = $1::smallint and principal = $2::text and key = any($3::text[])`,
    statusOfStreams: `select stream, status from engine.stream_head
      where shard = $1::smallint and stream = any($2::text[])`,
    listStreams: LIST_STREAMS,
    streamsOfStatus: STREAMS_OF_STATUS,
    streamsOfStatusWith: STREAMS_OF_STATUS_WITH,
    oldestOfStatus: OLDEST_OF_STATUS,
    streamsOfOwner: STREAMS_OF_OWNER,
    readBalances: `select account, asset, no_overdraft, debits_posted, credits_posted, debits_pending, credits_pending
      from engine.account where shard = $1::smallint and account = any($2::text[])`,
    streamsBegunUnowned: `select h.stream from engine.stream_head h
      where h.shard = $1::smallint and h.kind = any($2::text[]) and h.owner = $3::text and h.created_pos is not null and exists (
        select from engine.receipt r where r.shard = h.shard and r.stream = h.stream and r.seq = 1 and r.owner is null)`,
    allReceipts: `select pos, payload from engine.receipt where shard = $1::smallint and pos > $2::bigint order by pos limit $3::int`,
    receiptsOfOwner: `select pos, payload from engine.receipt
      where shard = $1::smallint and owner = $4::text and pos > $2::bigint order by pos limit $3::int`,
    receiptsOfStream: `select pos, payload from engine.receipt where shard = $1::smallint and stream = $4::text and pos > $2::bigint
      order by seq limit $3::int`,
    readReceipt:
      'select pos, owner, stream, payload from engine.receipt where shard = $1::smallint and pos = $2::bigint',
    keepTickets: 'select engine.keep_tickets($1::smallint, $2::text[], $3::bigint[], $4::bigint[], $5::text[])',
    ticketsOfReceipts: `select pos, envelope from engine.ticket where shard = $1::smallint and pos = any($2::bigint[])
      order by pos, sandbox`,
    tileRoots: `select hash from engine.tile_root
      where shard = $1::smallint and level = $2::smallint and index >= $3::bigint and index < $4::bigint order by index`,
    leafTiles: `select l.hashes from unnest($2::bigint[], $3::bigint[]) with ordinality as n(lo, hi, i) cross join lateral (
        select string_agg(r.leaf_hash, ''::bytea order by r.pos) as hashes from engine.receipt r
        where r.shard = $1::smallint and r.pos >= n.lo and r.pos < n.hi) l
      order by n.i`,
    trialBalance: TRIAL_BALANCE,
    readCursor: 'select pos from engine.consumer where shard = $1::smallint and name = $2::text',
    advanceCursor: 'select engine.advance_consumer($1::smallint, $2::text, $3::bigint)',
    noteMoment: 'select engine.note_moment($1::smallint, $2::text, $3::bigint)',
    readMoment: 'select at_us from engine.moment where shard = $1::smallint and name = $2::text',
    auditShard: 'select head, at_us, frontier from engine.shard where shard = $1::smallint',
    auditHeads: `select stream, owner, version, receipt_seq, encode(receipt_hash, 'hex') as hash, state from engine.stream_head
      where shard = $1::smallint`,
    auditAccounts: `select account, asset, no_overdraft, debits_posted, credits_posted, debits_pending, credits_pending
      from engine.account where shard = $1::smallint`,
    auditPostings: 'select count(*) as postings from engine.posting where shard = $1::smallint',
    auditCheckpoints: `select size, root, note from engine.checkpoint
      where shard = $1::smallint and size > $2::bigint order by size limit $3::int`,
  }),
};

export type StatementName = keyof typeof STATEMENTS;
