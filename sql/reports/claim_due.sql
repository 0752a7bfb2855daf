-- Claim a due report for a run, with what it is of; no row where somebody else has it or it is made.
update audit_due_reports d
set state = 'making', attempts = d.attempts + 1, run_id = %(run_id)s, claimed_until = %(now)s + %(claim)s::interval
from audit_scheduled_reports r
where r.tenant_id = d.tenant_id and r.report_id = d.report_id and r.enabled
  and d.tenant_id = %(tenant_id)s and d.report_id = %(report_id)s and d.due_at = %(due_at)s
  and ((d.state = 'waiting' and d.next_try_at <= %(now)s) or (d.state = 'making' and d.claimed_until <= %(now)s))
  and d.attempts < %(most)s
returning r.kind, r.person_ref, d.since, d.attempts, d.claimed_until
