-- Rows per tenant and UTC day of recorded_at in a window, up to the seq that the lake has reached: counted one by one,
-- so that the answer owes nothing to how the lake was filled. Of months that were dropped, the archive's days count;
-- what was deleted from the archive is in neither.
select l.tenant_id, (l.recorded_at at time zone 'UTC')::date as day, count(*)
from audit_logs l
join unnest(%(tenants)s::uuid[], %(through)s::bigint[]) as t (tenant_id, through_seq)
    on t.tenant_id = l.tenant_id and l.seq <= t.through_seq
where l.recorded_at >= %(since)s and l.recorded_at < %(until)s
group by 1, 2
union all
select d.tenant_id, d.day, sum(least(d.last_seq, t.through_seq) - d.first_seq + 1)::bigint
from audit_archived_days d
join unnest(%(tenants)s::uuid[], %(through)s::bigint[]) as t (tenant_id, through_seq)
    on t.tenant_id = d.tenant_id and d.first_seq <= t.through_seq
join audit_archives a
    on a.tenant_id = d.tenant_id and d.first_seq between a.first_seq and a.last_seq
       and a.released_at is not null and a.deleted_at is null
where d.day >= (%(since)s at time zone 'UTC')::date and d.day < (%(until)s at time zone 'UTC')::date
group by 1, 2
