-- A due report could not be made, if the claim still holds: it waits, or it has failed.
update audit_due_reports
set state = %(state)s, claimed_until = null, next_try_at = %(now)s + %(pause)s::interval, last_error = %(error)s
where tenant_id = %(tenant_id)s and report_id = %(report_id)s and due_at = %(due_at)s
  and state = 'making' and claimed_until = %(claimed_until)s
