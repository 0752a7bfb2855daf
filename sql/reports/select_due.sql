-- Due reports of scheduled reports that are switched on, to be made by now, the oldest first.
select d.tenant_id, d.report_id, r.kind, d.due_at, d.attempts
from audit_due_reports d
join audit_scheduled_reports r on r.tenant_id = d.tenant_id and r.report_id = d.report_id
where r.enabled
  and ((d.state = 'waiting' and d.next_try_at <= %(now)s) or (d.state = 'making' and d.claimed_until <= %(now)s))
order by d.due_at, d.tenant_id, d.report_id limit %(limit)s
