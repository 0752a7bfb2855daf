-- Where events of the session's tenant lie whose month was dropped: the ids that clients chose are in the register, those
-- of the server's own making among the kept ones. `made_ids` are those of `event_ids` that have the form of a UUIDv7.
select p.event_id, p.seq, a.month
from (
    select i.event_id, i.seq from audit_event_ids i where i.event_id = any (%(event_ids)s)
    union all
    select g.event_id, k.first_seq + (position(uuid_send(g.event_id::uuid) in k.ids) - 1) / 16
    from unnest(%(made_ids)s::text[]) as g (event_id)
    join audit_archived_ids k on k.least_id <= g.event_id and k.greatest_id >= g.event_id
    where position(uuid_send(g.event_id::uuid) in k.ids) %% 16 = 1
) as p
join audit_archives a on p.seq between a.first_seq and a.last_seq and a.released_at is not null
order by p.seq
