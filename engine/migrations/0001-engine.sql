-- The engine's tables, its ledger rules and its one door, for any number of shards. The floor is PostgreSQL 15.
-- Promise: api and meter can append through engine.commit and read; nobody but a superuser with triggers off can rewrite.

do $$ begin create role tally_owner nologin; exception when duplicate_object then null; end $$;
do $$ begin create role tally_api login; exception when duplicate_object then null; end $$;
do $$ begin create role tally_meter login; exception when duplicate_object then null; end $$;
grant tally_owner to current_user;
create schema engine authorization tally_owner;
set local role tally_owner;

-- ---------------------------------------------------------------------------------------------------------- the log

-- head = receipts written = size of the Merkle log = the next position = the cursor of readers.
-- Every batch moves it, refusals too, so one compare-and-set on it guards events, money and log at once.
create table engine.shard (
  shard    smallint primary key,
  head     bigint not null default 0 check (head >= 0),
  at_us    bigint not null default 0, -- time of the newest receipt; never goes back
  frontier bytea  not null default '', -- roots of the log's complete subtrees, largest first: 32 bytes per set bit of head
  constraint frontier_fits_head check (length(frontier) = 32 * bit_count(head::bit(64)))
) with (fillfactor = 50);

create table engine.receipt (
  shard smallint not null, pos bigint not null, stream text collate "C" not null, seq bigint not null,
  owner text collate "C", -- the principal who may read it; null: the platform alone
  payload   bytea not null,
  leaf_hash bytea not null generated always as (sha256('\x00'::bytea || payload)) stored,
  primary key (shard, pos), unique (shard, stream, seq)
);
create index receipt_of_owner on engine.receipt (shard, owner, pos);

create table engine.stream_head (
  shard smallint not null, stream text collate "C" not null, kind text collate "C" not null, owner text collate "C",
  version bigint not null,     -- events so far
  created_pos bigint,          -- position of the first event; null while the stream has only refusals
  pos bigint not null,         -- position of the newest receipt
  receipt_seq bigint not null, receipt_hash bytea not null,
  status text collate "C",     -- the state's own `status`, when it has one
  state text not null,         -- canonical JSON; money inside is strings
  primary key (shard, stream)
) with (fillfactor = 70);
create index stream_of_status on engine.stream_head (shard, kind, status, created_pos)
  where created_pos is not null and status is not null;
create index stream_of_owner on engine.stream_head (shard, kind, owner, created_pos) where created_pos is not null;

create table engine.checkpoint (
  shard smallint not null, size bigint not null, root bytea not null,
  note text, -- the signed note over root, stored right after the commit; deterministic, so any process may store it
  primary key (shard, size)
);
create table engine.tile_root (
  shard smallint not null, level smallint not null, index bigint not null, hash bytea not null,
  primary key (shard, level, index)
);

-- ------------------------------------------------------------------------------------------------------- the ledger

create table engine.account (
  shard smallint not null, account text collate "C" not null, asset text collate "C" not null,
  no_overdraft    boolean not null default false,
  debits_posted   bigint not null default 0 check (debits_posted >= 0),
  credits_posted  bigint not null default 0 check (credits_posted >= 0),
  debits_pending  bigint not null default 0 check (debits_pending >= 0),
  credits_pending bigint not null default 0 check (credits_pending >= 0),
  primary key (shard, account),
  constraint no_overdraft check (not no_overdraft or debits_posted + debits_pending <= credits_posted)
) with (fillfactor = 60);

create table engine.posting (
  shard smallint not null, pos bigint not null, ord smallint not null, -- named by its receipt
  kind smallint not null check (kind between 0 and 3),                 -- 0 posted, 1 pending, 2 post, 3 void
  asset text collate "C" not null, debit text collate "C" not null, credit text collate "C" not null,
  amount bigint not null check (amount >= 0), at_us bigint not null, expires_us bigint,
  hold_pos bigint, hold_ord smallint,
  primary key (shard, pos, ord),
  constraint two_accounts check (debit <> credit),
  constraint amount_of_kind check ((kind = 3) = (amount = 0)),
  constraint hold_of_kind check ((kind in (2, 3)) = (hold_pos is not null and hold_ord is not null)),
  constraint expiry_of_kind check (expires_us is null or kind = 1)
);
create unique index one_resolution on engine.posting (shard, hold_pos, hold_ord) where hold_pos is not null;

-- --------------------------------------------------------------------------------------------- answers, alarms, work

create table engine.idempotency (
  shard smallint not null, principal text collate "C" not null, key text collate "C" not null,
  fingerprint bytea not null, answer text not null, pos bigint not null,
  primary key (shard, principal, key)
);
create table engine.timer (
  shard smallint not null, timer text collate "C" not null, round bigint not null, due_us bigint not null,
  command text not null,
  primary key (shard, timer)
);
create index timer_due on engine.timer (shard, due_us);

create table engine.outbox (
  shard smallint not null, pos bigint not null, ord smallint not null, topic text collate "C" not null,
  lane text collate "C",        -- messages of one lane are delivered in order
  body text not null,
  not_before_us bigint not null, -- end of the current lease, or time of the next try
  lease_token uuid, attempts int not null default 0, last_error text, done boolean not null default false,
  primary key (shard, pos, ord)
) with (fillfactor = 70);
create index outbox_waiting on engine.outbox (shard, not_before_us, pos, ord) where not done;
create index outbox_lane on engine.outbox (shard, lane, pos, ord) where not done and lane is not null;

create table engine.consumer (
  shard smallint not null, name text collate "C" not null, pos bigint not null,
  primary key (shard, name)
);

-- -------------------------------------------------------------------------------------------- rules of the database

-- Moves balances once per account per statement. Arrays and unnest, not CTE joins: those cache the plan of a small batch.
create function engine.move_balances() returns trigger language plpgsql security definer
set search_path = engine, pg_temp as $$
declare
  s smallint; s_max smallint; lo bigint; hi bigint; resolves boolean; bad int; moved int;
  ids text[]; assets text[]; dp bigint[]; cp bigint[]; dh bigint[]; ch bigint[];
begin
  select min(shard), max(shard), min(pos), max(pos), bool_or(kind in (2, 3)) into s, s_max, lo, hi, resolves from new_rows;
  if s is null then return null; end if;
  if s <> s_max then raise exception 'one shard per statement' using errcode = 'LG004'; end if;
  -- The log is gapless, so with its first and its last receipt written here every receipt between is, too.
  select count(*) into bad from (values (lo), (hi)) edge(pos) where not exists (
    select from receipt r where r.shard = s and r.pos = edge.pos and r.xmin::text = pg_current_xact_id()::xid::text);
  if bad > 0 then raise exception 'a posting belongs to a receipt of its own transaction' using errcode = 'LG006'; end if;
  if resolves then
    select count(*) into bad from new_rows r left join posting p on (p.shard, p.pos, p.ord) = (r.shard, r.hold_pos, r.hold_ord)
    where r.kind in (2, 3) and (p.kind is distinct from 1 or (p.debit, p.credit, p.asset) <> (r.debit, r.credit, r.asset)
      or r.amount > p.amount or (r.kind = 2 and r.at_us >= p.expires_us));
    if bad > 0 then raise exception 'bad resolution of a hold' using errcode = 'LG001'; end if;
    select array_agg(a), array_agg(asset), array_agg(d), array_agg(c), array_agg(hd), array_agg(hc)
      into ids, assets, dp, cp, dh, ch
    from (
      select v.a, n.asset, sum(v.d)::bigint d, sum(v.c)::bigint c, sum(v.hd)::bigint hd, sum(v.hc)::bigint hc
      from new_rows n
      cross join lateral (select case when n.kind in (0, 2) then n.amount else 0 end as post,
        case n.kind when 0 then 0 when 1 then n.amount
          else -(select p.amount from posting p where (p.shard, p.pos, p.ord) = (s, n.hold_pos, n.hold_ord)) end as hold) q
      cross join lateral (values (n.debit, q.post, 0::bigint, q.hold, 0::bigint), (n.credit, 0, q.post, 0, q.hold)) v(a, d, c, hd, hc)
      group by v.a, n.asset order by v.a) g;
  else -- the usual batch: the same sums without a look at older postings, at half the cost
    select array_agg(a), array_agg(asset), array_agg(d), array_agg(c), array_agg(hd), array_agg(hc)
      into ids, assets, dp, cp, dh, ch
    from (
      select a, asset, coalesce(sum(amount) filter (where is_debit and kind = 0), 0)::bigint d,
        coalesce(sum(amount) filter (where not is_debit and kind = 0), 0)::bigint c,
        coalesce(sum(amount) filter (where is_debit and kind = 1), 0)::bigint hd,
        coalesce(sum(amount) filter (where not is_debit and kind = 1), 0)::bigint hc
      from (select debit as a, asset, amount, kind, true as is_debit from new_rows
        union all select credit, asset, amount, kind, false from new_rows) sides
      group by a, asset order by a) g;
  end if;
  perform 1 from account x where x.shard = s and x.account = any(ids) order by x.account for no key update;
  update account x set debits_posted = x.debits_posted + m.d, credits_posted = x.credits_posted + m.c,
    debits_pending = x.debits_pending + m.hd, credits_pending = x.credits_pending + m.hc
  from unnest(ids, assets, dp, cp, dh, ch) m(a, asset, d, c, hd, hc)
  where x.shard = s and x.account = m.a and x.asset = m.asset;
  get diagnostics moved = row_count;
  if moved <> cardinality(ids) then raise exception 'unknown account or wrong asset' using errcode = 'LG003'; end if;
  return null;
end $$;
create trigger move_balances after insert on engine.posting
  referencing new table as new_rows for each statement execute function engine.move_balances();

-- A receipt may only stand directly below the head that the same transaction moved: no gap, no receipt beside the log.
create function engine.stay_gapless() returns trigger language plpgsql security definer
set search_path = engine, pg_temp as $$
begin
  if exists (
    select from (select shard, min(pos) lo, max(pos) hi, count(*) n from new_rows group by shard) r join shard s using (shard)
    where r.hi + 1 <> s.head or r.hi - r.lo + 1 <> r.n
      or (r.lo > 0 and not exists (select from receipt p where p.shard = r.shard and p.pos = r.lo - 1)))
  then raise exception 'receipts must fill the log up to its head' using errcode = 'LG005'; end if;
  return null;
end $$;
create trigger stay_gapless after insert on engine.receipt
  referencing new table as new_rows for each statement execute function engine.stay_gapless();

-- At commit the head must stand on a receipt, above where it stood: nobody can move it back, or ahead of the log.
create function engine.head_on_receipt() returns trigger language plpgsql security definer
set search_path = engine, pg_temp as $$
begin
  if new.head <= old.head or new.at_us < old.at_us
    or not exists (select from receipt r where r.shard = new.shard and r.pos = new.head - 1)
  then raise exception 'the head moves forward with its receipts' using errcode = 'LG007'; end if;
  return null;
end $$;
create constraint trigger head_on_receipt after update on engine.shard deferrable initially deferred
  for each row execute function engine.head_on_receipt();

create function engine.refuse() returns trigger language plpgsql as $$
begin raise exception '% is append-only', tg_table_name using errcode = 'LG002'; end $$;
do $$ declare t text; begin
  foreach t in array array['posting', 'receipt', 'tile_root', 'idempotency'] loop
    execute format('create trigger append_only before update or delete or truncate on engine.%I for each statement execute function engine.refuse()', t);
  end loop;
  foreach t in array array['checkpoint', 'account', 'stream_head', 'shard'] loop
    execute format('create trigger never_removed before delete or truncate on engine.%I for each statement execute function engine.refuse()', t);
  end loop;
end $$;

-- A checkpoint is written once and signed once, with a note over its own size and root.
create function engine.sign_once() returns trigger language plpgsql as $$
begin
  if old.note is not null or (new.shard, new.size, new.root) is distinct from (old.shard, old.size, old.root)
    or new.note is null or split_part(new.note, E'\n', 2) <> old.size::text
    or split_part(new.note, E'\n', 3) <> encode(old.root, 'base64')
  then raise exception 'a checkpoint is signed once, over its own root' using errcode = 'LG008'; end if;
  return new;
end $$;
create trigger sign_once before update on engine.checkpoint for each row execute function engine.sign_once();

-- ------------------------------------------------------------------------------------------------------ the one door

-- Writes one batch, all or nothing. won = 1: written. won = 0 with repeats: these keys were used before, nothing is
-- written. won = 0 without repeats: another process moved the head first. Receipt i stands at p_expected + i - 1, and so
-- does answer i.
create function engine.commit(
  p_shard smallint, p_expected bigint, p_head bigint, p_frontier bytea, p_root bytea, p_at_us bigint,
  p_receipt_stream text[], p_receipt_seq bigint[], p_receipt_owner text[], p_receipt_payload bytea[],
  p_stream text[], p_stream_owner text[], p_stream_status text[], p_version bigint[], p_created_pos bigint[], p_stream_pos bigint[],
  p_stream_seq bigint[], p_stream_hash bytea[], p_state text[],
  p_account text[], p_account_asset text[], p_no_overdraft smallint[],
  p_posting_pos bigint[], p_posting_ord smallint[], p_kind smallint[], p_asset text[], p_debit text[], p_credit text[],
  p_amount bigint[], p_expires_us bigint[], p_hold_pos bigint[], p_hold_ord smallint[],
  p_principal text[], p_key text[], p_fingerprint bytea[], p_answer text[],
  p_tile_level smallint[], p_tile_index bigint[], p_tile_hash bytea[],
  p_timer text[], p_round bigint[], p_due_us bigint[], p_timer_command text[], p_cleared text[],
  p_outbox_pos bigint[], p_outbox_ord smallint[], p_topic text[], p_lane text[], p_body text[],
  out won int, out repeats json
) language plpgsql security definer set search_path = engine, pg_temp set plan_cache_mode = force_generic_plan as $$
declare kept int;
begin
  won := 0;
  select json_agg(json_build_array(i.principal, i.key, encode(i.fingerprint, 'hex'), i.pos, i.answer)) into repeats
    from unnest(p_principal, p_key) as n(principal, key)
    join idempotency i on i.shard = p_shard and i.principal = n.principal and i.key = n.key;
  if repeats is not null then return; end if;
  update shard set head = p_head, frontier = p_frontier, at_us = p_at_us
    where shard.shard = p_shard and head = p_expected and at_us <= p_at_us;
  if not found then return; end if;
  won := 1;
  if cardinality(p_receipt_payload) <> p_head - p_expected or cardinality(p_principal) <> p_head - p_expected then
    raise exception 'one receipt and one answer per position' using errcode = 'LG009';
  end if;
  if exists (select from unnest(p_posting_pos || p_outbox_pos || p_stream_pos) as n(pos) where n.pos < p_expected or n.pos >= p_head) then
    raise exception 'a row of a batch belongs to a receipt of the batch' using errcode = 'LG009';
  end if;
  insert into receipt (shard, pos, stream, seq, owner, payload)
    select p_shard, p_expected + n.i - 1, n.stream, n.seq, n.owner, n.payload
    from unnest(p_receipt_stream, p_receipt_seq, p_receipt_owner, p_receipt_payload) with ordinality as n(stream, seq, owner, payload, i);
  insert into stream_head as h (shard, stream, kind, owner, status, version, created_pos, pos, receipt_seq, receipt_hash, state)
    select p_shard, n.stream, split_part(n.stream, ':', 1), n.owner, n.status, n.version, n.created_pos, n.pos, n.seq, n.hash, n.state
    from unnest(p_stream, p_stream_owner, p_stream_status, p_version, p_created_pos, p_stream_pos, p_stream_seq, p_stream_hash, p_state)
      as n(stream, owner, status, version, created_pos, pos, seq, hash, state)
    on conflict (shard, stream) do update set owner = excluded.owner, status = excluded.status, version = excluded.version,
      created_pos = coalesce(h.created_pos, excluded.created_pos), pos = excluded.pos,
      receipt_seq = excluded.receipt_seq, receipt_hash = excluded.receipt_hash, state = excluded.state
    where h.version <= excluded.version and h.receipt_seq < excluded.receipt_seq;
  get diagnostics kept = row_count;
  if kept <> cardinality(p_stream) then raise exception 'a stream moves forward' using errcode = 'LG009'; end if;
  if cardinality(p_account) > 0 then
    insert into account (shard, account, asset, no_overdraft)
      select p_shard, n.account, n.asset, n.no_overdraft <> 0
      from unnest(p_account, p_account_asset, p_no_overdraft) as n(account, asset, no_overdraft);
  end if;
  if cardinality(p_posting_pos) > 0 then
    insert into posting (shard, pos, ord, kind, asset, debit, credit, amount, at_us, expires_us, hold_pos, hold_ord)
      select p_shard, n.pos, n.ord, n.kind, n.asset, n.debit, n.credit, n.amount, p_at_us, n.expires_us, n.hold_pos, n.hold_ord
      from unnest(p_posting_pos, p_posting_ord, p_kind, p_asset, p_debit, p_credit, p_amount, p_expires_us, p_hold_pos, p_hold_ord)
        as n(pos, ord, kind, asset, debit, credit, amount, expires_us, hold_pos, hold_ord);
  end if;
  insert into idempotency (shard, principal, key, fingerprint, answer, pos)
    select p_shard, n.principal, n.key, n.fingerprint, n.answer, p_expected + n.i - 1
    from unnest(p_principal, p_key, p_fingerprint, p_answer) with ordinality as n(principal, key, fingerprint, answer, i);
  insert into checkpoint (shard, size, root) values (p_shard, p_head, p_root);
  if cardinality(p_tile_level) > 0 then
    insert into tile_root (shard, level, index, hash)
      select p_shard, n.level, n.index, n.hash from unnest(p_tile_level, p_tile_index, p_tile_hash) as n(level, index, hash);
  end if;
  if cardinality(p_timer) > 0 then
    insert into timer (shard, timer, round, due_us, command)
      select p_shard, n.timer, n.round, n.due_us, n.command
      from unnest(p_timer, p_round, p_due_us, p_timer_command) as n(timer, round, due_us, command)
      on conflict (shard, timer) do update set round = excluded.round, due_us = excluded.due_us, command = excluded.command;
  end if;
  if cardinality(p_cleared) > 0 then
    delete from timer t where t.shard = p_shard and t.timer = any(p_cleared);
  end if;
  if cardinality(p_outbox_pos) > 0 then
    insert into outbox (shard, pos, ord, topic, lane, body, not_before_us)
      select p_shard, n.pos, n.ord, n.topic, n.lane, n.body, 0
      from unnest(p_outbox_pos, p_outbox_ord, p_topic, p_lane, p_body) as n(pos, ord, topic, lane, body);
  end if;
  perform pg_notify('tally_head', p_shard || ':' || p_head); -- a hint; readers poll heads as well
end $$;

-- Lets a batch that lost several times in a row wait for its turn; held to the end of the transaction.
create function engine.lock_shard(p_shard smallint) returns void
language sql security definer set search_path = engine, pg_temp as $$
  select from shard where shard = p_shard for no key update
$$;

-- Stores the signed note of a root that a batch wrote. False when it is signed already.
create function engine.sign_checkpoint(p_shard smallint, p_size bigint, p_note text) returns boolean
language plpgsql security definer set search_path = engine, pg_temp as $$
begin
  update checkpoint set note = p_note where shard = p_shard and size = p_size and note is null;
  return found;
end $$;

-- Moves a reader's durable cursor forward, never back, never beyond the log.
create function engine.advance_consumer(p_shard smallint, p_name text, p_pos bigint) returns void
language sql security definer set search_path = engine, pg_temp as $$
  insert into consumer as c (shard, name, pos)
    select p_shard, p_name, least(p_pos, s.head) from shard s where s.shard = p_shard
    on conflict (shard, name) do update set pos = greatest(c.pos, excluded.pos)
$$;

-- Leases waiting messages, oldest first; of one lane only the oldest undelivered one.
create function engine.take_outbox(p_shard smallint, p_topics text[], p_now_us bigint, p_lease_us bigint, p_token uuid, p_limit int)
returns table (pos bigint, ord smallint, topic text, body text, attempts int, at_us text, receipt_hash text)
language plpgsql security definer set search_path = engine, pg_temp set plan_cache_mode = force_generic_plan
-- a few rows by their keys, whatever the statistics say of a table that was empty a moment ago
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off as $$
begin
  return query
    -- locked rows cannot change before the update, so it need not look at their lease again: the repeated conditions
    -- made the planner join what was taken with all that waits
    with ready as materialized (
      select o.pos, o.ord from outbox o
      where o.shard = p_shard and not o.done and o.not_before_us <= p_now_us and o.topic = any(p_topics)
        and (o.lane is null or not exists (select from outbox e
          where e.shard = p_shard and e.lane = o.lane and not e.done and (e.pos, e.ord) < (o.pos, o.ord)))
      order by o.not_before_us, o.pos, o.ord limit p_limit for no key update skip locked),
    taken as (
      update outbox o set not_before_us = p_now_us + p_lease_us, lease_token = p_token, attempts = o.attempts + 1
      from ready where o.shard = p_shard and o.pos = ready.pos and o.ord = ready.ord
      returning o.pos, o.ord, o.topic, o.body, o.attempts)
    select t.pos, t.ord, t.topic, t.body, t.attempts, r.at_us, r.hash
    from taken t cross join lateral (
      select convert_from(x.payload, 'UTF8')::json ->> 'at_us' as at_us, encode(sha256(x.payload), 'hex') as hash
      from receipt x where x.shard = p_shard and x.pos = t.pos offset 0) r
    order by t.pos, t.ord;
end $$;

-- Marks a message delivered. False when the lease is no longer the caller's.
create function engine.settle_outbox(p_shard smallint, p_pos bigint, p_ord smallint, p_token uuid) returns boolean
language plpgsql security definer set search_path = engine, pg_temp as $$
begin
  update outbox set done = true, lease_token = null, last_error = null
    where shard = p_shard and pos = p_pos and ord = p_ord and lease_token = p_token and not done;
  return found;
end $$;

-- Gives a message back after a failure, to be tried again at p_not_before_us. False when the lease is lost.
create function engine.postpone_outbox(p_shard smallint, p_pos bigint, p_ord smallint, p_token uuid, p_not_before_us bigint, p_error text)
returns boolean language plpgsql security definer set search_path = engine, pg_temp as $$
begin
  update outbox set not_before_us = p_not_before_us, lease_token = null, last_error = left(p_error, 500)
    where shard = p_shard and pos = p_pos and ord = p_ord and lease_token = p_token and not done;
  return found;
end $$;

-- --------------------------------------------------------------------------------------------------- who may do what

revoke all on all functions in schema engine from public;
grant usage on schema engine to tally_api, tally_meter;
grant select on engine.shard, engine.receipt, engine.stream_head, engine.checkpoint, engine.tile_root, engine.account,
  engine.posting, engine.idempotency, engine.consumer to tally_api, tally_meter;
grant execute on function engine.commit, engine.lock_shard, engine.sign_checkpoint, engine.advance_consumer to tally_api, tally_meter;
grant select on engine.timer, engine.outbox to tally_meter;
grant execute on function engine.take_outbox, engine.settle_outbox, engine.postpone_outbox to tally_meter;

insert into engine.shard (shard) values (0);
