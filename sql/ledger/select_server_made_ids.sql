-- Which of these ids, chosen by a client in the form of a UUIDv7, the server gave to an event of the session's tenant.
-- An id says when it was made, to the millisecond; a day covers the wait for the commit and clocks that disagree, and
-- leaves one or two monthly partitions to look into.
select l.event_id
from unnest(%(event_ids)s::text[], %(made_at)s::timestamptz[]) as g (event_id, made_at)
join audit_logs l on l.event_id = g.event_id
                     and l.recorded_at between g.made_at - interval '1 day' and g.made_at + interval '1 day'
where not exists (select from audit_event_ids i where i.tenant_id = l.tenant_id and i.event_id = l.event_id)
union
-- Those of dropped months are kept; index and comparison leave one or two places to look into.
select g.event_id
from unnest(%(event_ids)s::text[]) as g (event_id)
join audit_archived_ids k on k.least_id <= g.event_id and k.greatest_id >= g.event_id
where position(uuid_send(g.event_id::uuid) in k.ids) %% 16 = 1
