-- Whatever is done to a few rows finds them by their keys, however wrong the statistics are of a table that grew at once.
-- Promise: no plan made while a table was empty reads it whole when it is full.
set local role tally_owner;

-- As before, but for the first statement: each key of the batch is looked up by itself.
create or replace function engine.commit(
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
) language plpgsql security definer set search_path = engine, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off as $$
declare kept int;
begin
  won := 0;
  select json_agg(json_build_array(i.principal, i.key, encode(i.fingerprint, 'hex'), i.pos, i.answer)) into repeats
    from unnest(p_principal, p_key) as n(principal, key) cross join lateral (
      select * from idempotency x where x.shard = p_shard and x.principal = n.principal and x.key = n.key offset 0) i;
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

-- As before, but what was found is changed in place: joined by its key, the planner would compare it with all that waits.
create or replace function engine.take_outbox(p_shard smallint, p_topics text[], p_now_us bigint, p_lease_us bigint, p_token uuid, p_limit int)
returns table (pos bigint, ord smallint, topic text, body text, attempts int, at_us text, receipt_hash text)
language plpgsql security definer set search_path = engine, pg_temp set plan_cache_mode = force_generic_plan
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off as $$
begin
  return query
    -- a row that changed between being seen and being locked is not found again, and waits for the next taking
    with ready as materialized (
      select o.ctid as place from outbox o
      where o.shard = p_shard and not o.done and o.not_before_us <= p_now_us and o.topic = any(p_topics)
        and (o.lane is null or not exists (select from outbox e
          where e.shard = p_shard and e.lane = o.lane and not e.done and (e.pos, e.ord) < (o.pos, o.ord)))
      order by o.not_before_us, o.pos, o.ord limit p_limit for no key update skip locked),
    taken as (
      update outbox o set not_before_us = p_now_us + p_lease_us, lease_token = p_token, attempts = o.attempts + 1
      where o.ctid = any(array(select ready.place from ready))
      returning o.pos, o.ord, o.topic, o.body, o.attempts)
    select t.pos, t.ord, t.topic, t.body, t.attempts, r.at_us, r.hash
    from taken t cross join lateral (
      select convert_from(x.payload, 'UTF8')::json ->> 'at_us' as at_us, encode(sha256(x.payload), 'hex') as hash
      from receipt x where x.shard = p_shard and x.pos = t.pos offset 0) r
    order by t.pos, t.ord;
end $$;

-- As before, likewise in place. Whoever took a row in between has given it a token of its own.
create or replace function engine.settle_outboxes(p_shard smallint, p_pos bigint[], p_ord smallint[], p_tokens uuid[])
returns table (pos bigint, ord smallint)
language plpgsql security definer set search_path = engine, pg_temp set plan_cache_mode = force_generic_plan
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off as $$
begin
  return query
    update outbox o set done = true, lease_token = null, last_error = null
      where o.ctid = any(array(
        select (select x.ctid from outbox x
          where x.shard = p_shard and x.pos = n.pos and x.ord = n.ord and x.lease_token = n.token and not x.done)
        from unnest(p_pos, p_ord, p_tokens) as n(pos, ord, token)))
        and o.lease_token = any(p_tokens) and not o.done
      returning o.pos, o.ord;
end $$;
