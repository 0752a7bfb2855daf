-- Whoever asked does not want it any more: an open job stops, a file that lies ready goes.
update audit_exports
set state = case when state = 'ready' then 'expired' else 'cancelled' end, claimed_until = null, sealed_question = null,
    finished_at = coalesce(finished_at, clock_timestamp())
where export_id = %(export_id)s and state in ('waiting', 'running', 'ready')
