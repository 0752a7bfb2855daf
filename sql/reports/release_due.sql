-- End the claims of runs that ended without recording what came of them; after the last attempt a report has failed.
update audit_due_reports
set state = case when attempts >= %(most)s then 'failed' else 'waiting' end, claimed_until = null, next_try_at = %(now)s,
    last_error = 'the run that made it ended before it recorded what came of it'
where state = 'making' and (run_id = any (%(ended)s) or claimed_until <= %(now)s)
