-- Rows per tenant and UTC day of recorded_at in a window, up to the seq that the lake has reached: counted one by one,
-- so that the answer owes nothing to how the lake was filled.
select l.tenant_id, (l.recorded_at at time zone 'UTC')::date as day, count(*)
from audit_logs l
join unnest(%(tenants)s::uuid[], %(through)s::bigint[]) as t (tenant_id, through_seq)
    on t.tenant_id = l.tenant_id and l.seq <= t.through_seq
where l.recorded_at >= %(since)s and l.recorded_at < %(until)s
group by 1, 2
