-- Go on with a job and say how far it is; no row if somebody else has it, or it was cancelled.
update audit_exports
set claimed_until = clock_timestamp() + %(claim)s::interval, rows_done = %(rows_done)s,
    rows_total = coalesce(%(rows_total)s, rows_total)
where tenant_id = %(tenant_id)s and export_id = %(export_id)s and state = 'running' and attempts = %(attempts)s
