-- The ids that clients chose for a range of a tenant's rows, in the order of the rows.
select seq, event_id, case when isfinite(recorded_at) then (extract(epoch from recorded_at) * 1000000)::bigint end
from audit_event_ids
where tenant_id = %(tenant_id)s and seq between %(first_seq)s and %(last_seq)s
order by seq
