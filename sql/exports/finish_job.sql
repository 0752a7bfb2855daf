-- A file is whole and its digest is in the ledger; no row if somebody else has the job, or it was cancelled.
update audit_exports
set state = 'ready', claimed_until = null, sealed_question = null, rows_total = %(rows_done)s, rows_done = %(rows_done)s,
    bytes = %(bytes)s, sha256 = %(sha256)s, seq = %(seq)s, finished_at = clock_timestamp(),
    expires_at = clock_timestamp() + %(lifetime)s::interval
where export_id = %(export_id)s and state = 'running' and attempts = %(attempts)s
