-- Claim the job that waits longest, of any tenant. A claim that ran out is of a process that died; a job that took
-- several with it is given up.
with spent as (
    update audit_exports set state = 'failed', claimed_until = null, sealed_question = null,
           finished_at = clock_timestamp(), error = 'the processes that made it ended before it was done'
    where state = 'running' and claimed_until <= clock_timestamp() and attempts >= %(most)s
), due as (
    select tenant_id, export_id from audit_exports
    where state = 'waiting' or (state = 'running' and claimed_until <= clock_timestamp() and attempts < %(most)s)
    order by created_at limit 1 for update skip locked
)
update audit_exports e
set state = 'running', attempts = e.attempts + 1, rows_done = 0, claimed_until = clock_timestamp() + %(claim)s::interval
from due where e.tenant_id = due.tenant_id and e.export_id = due.export_id
returning e.tenant_id, e.export_id, e.format, e.requested_ref, e.with_names, e.asked, e.sealed_question, e.attempts
