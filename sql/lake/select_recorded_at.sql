-- When one row was recorded; the index on (tenant_id, seq) answers it. Of a row whose month was dropped, the day is known.
select coalesce(
    (select recorded_at from audit_logs where tenant_id = %(tenant_id)s and seq = %(seq)s),
    (select day::timestamp at time zone 'UTC' from audit_archived_days
     where tenant_id = %(tenant_id)s and first_seq <= %(seq)s and last_seq >= %(seq)s
     order by first_seq desc limit 1))
