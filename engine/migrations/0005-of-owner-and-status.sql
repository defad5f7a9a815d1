-- What of an owner's streams is in some status is found without reading what is in another: most of them are over.
-- Promise: the question costs what it finds, however much there was before.
set local role tally_owner;

create index stream_of_owner_and_status on engine.stream_head (shard, kind, owner, status, created_pos)
  where created_pos is not null and status is not null;
