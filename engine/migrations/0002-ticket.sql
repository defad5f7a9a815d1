-- Signed leases, kept beside the receipts of their sales so that exports can hold them.
-- Promise: the meter alone adds them; a ticket that stands is never changed.
set local role tally_owner;

create table engine.ticket (
  shard smallint not null, sandbox text collate "C" not null, seq bigint not null,
  pos bigint not null,     -- the receipt of the sale
  envelope text not null,  -- the DSSE envelope as JSON
  primary key (shard, sandbox, seq)
);
create index ticket_of_receipt on engine.ticket (shard, pos);
create trigger append_only before update or delete or truncate on engine.ticket
  for each statement execute function engine.refuse();

-- Signing twice gives the same bytes, so a repetition is nothing new.
create function engine.keep_ticket(smallint, text, bigint, bigint, text) returns void
language sql security definer set search_path = engine, pg_temp as $$
  insert into engine.ticket (shard, sandbox, seq, pos, envelope) values ($1, $2, $3, $4, $5) on conflict do nothing
$$;
revoke all on function engine.keep_ticket from public;
grant execute on function engine.keep_ticket to tally_meter;
grant select on engine.ticket to tally_api, tally_meter;
