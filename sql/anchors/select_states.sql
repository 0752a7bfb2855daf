-- For each tenant and each of the named anchors: its newest checkpoint, how far it is anchored, and what failed since.
select h.tenant_id, a.anchor, c.size, c.note, done.size, done.anchored_at,
    case when done.size is null or done.size < c.size then behind.sealed_at end,
    coalesce(failed.attempts, 0), failed.last_error, failed.last_tried_at, failed.next_try_at
from audit_chain_heads h
cross join lateral (
    select size, note from audit_checkpoints where tenant_id = h.tenant_id order by size desc limit 1
) c
cross join unnest(%(anchors)s::text[]) with ordinality as a (anchor, place)
left join lateral (
    select size, anchored_at from audit_anchorings
    where tenant_id = h.tenant_id and anchor = a.anchor and anchored_at is not null
    order by size desc limit 1
) done on true
left join lateral (
    select sealed_at from audit_checkpoints
    where tenant_id = h.tenant_id and size > coalesce(done.size, -1)
    order by size limit 1
) behind on true
left join lateral (
    select sum(attempts)::integer as attempts, max(last_tried_at) as last_tried_at, max(next_try_at) as next_try_at,
        (array_agg(last_error order by last_tried_at desc))[1] as last_error
    from audit_anchorings
    where tenant_id = h.tenant_id and anchor = a.anchor and anchored_at is null and size > coalesce(done.size, -1)
) failed on true
order by a.place, h.tenant_id
