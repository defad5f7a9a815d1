-- When something was done last, for what is done too often to leave a receipt each time.
-- Promise: the meter alone says so, and never takes it back; nothing in the log, the ledger or a decision rests on it.
set local role tally_owner;

create table engine.moment (
  shard smallint not null, name text collate "C" not null, at_us bigint not null,
  primary key (shard, name)
) with (fillfactor = 50);

create function engine.note_moment(p_shard smallint, p_name text, p_at_us bigint) returns void
language sql security definer set search_path = engine, pg_temp as $$
  insert into moment as m (shard, name, at_us) values (p_shard, p_name, p_at_us)
    on conflict (shard, name) do update set at_us = greatest(m.at_us, excluded.at_us)
$$;
revoke all on function engine.note_moment from public;
grant execute on function engine.note_moment to tally_meter;
grant select on engine.moment to tally_api, tally_meter;
