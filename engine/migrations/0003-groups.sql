-- What meters do for every sold minute, for many minutes at once: one round trip and one flush for a group.
-- Promise: each row is treated as if it had come alone; a lease that is no longer the caller's settles nothing.
set local role tally_owner;

-- Signing twice gives the same bytes, so a repetition is nothing new.
create function engine.keep_tickets(p_shard smallint, p_sandbox text[], p_seq bigint[], p_pos bigint[], p_envelope text[]) returns void
language sql security definer set search_path = engine, pg_temp as $$
  insert into engine.ticket (shard, sandbox, seq, pos, envelope)
    select p_shard, n.sandbox, n.seq, n.pos, n.envelope
    from unnest(p_sandbox, p_seq, p_pos, p_envelope) as n(sandbox, seq, pos, envelope)
    on conflict do nothing
$$;

-- Marks messages delivered, and names those whose lease was still the caller's.
create function engine.settle_outboxes(p_shard smallint, p_pos bigint[], p_ord smallint[], p_tokens uuid[])
returns table (pos bigint, ord smallint)
language plpgsql security definer set search_path = engine, pg_temp set plan_cache_mode = force_generic_plan
-- a few rows by their keys, whatever the statistics say of a table that was empty a moment ago
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off as $$
begin
  return query
    update outbox o set done = true, lease_token = null, last_error = null
      from unnest(p_pos, p_ord, p_tokens) as n(pos, ord, token)
      where o.shard = p_shard and o.pos = n.pos and o.ord = n.ord and o.lease_token = n.token and not o.done
      returning o.pos, o.ord;
end $$;

revoke all on function engine.keep_tickets, engine.settle_outboxes from public;
grant execute on function engine.keep_tickets, engine.settle_outboxes to tally_meter;
