-- A job failed (with the reason), or is given back to be taken up by another process.
update audit_exports
set state = %(state)s, claimed_until = null, error = %(error)s,
    sealed_question = case when %(state)s = 'waiting' then sealed_question end,
    attempts = case when %(state)s = 'waiting' then attempts - 1 else attempts end,
    finished_at = case when %(state)s = 'waiting' then null else clock_timestamp() end
where tenant_id = %(tenant_id)s and export_id = %(export_id)s and state = 'running' and attempts = %(attempts)s
