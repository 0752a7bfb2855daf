-- The scheduled reports of the session's tenant, or one of them, with what became of their due times, oldest first.
select r.report_id, r.kind, r.cron, r.time_zone, r.delivery, r.recipients, r.person_ref, r.enabled, r.created_at,
       r.last_due_at,
       count(d.due_at) filter (where d.state = 'made') as made,
       count(d.due_at) filter (where d.state in ('waiting', 'making')) as waiting,
       count(d.due_at) filter (where d.state = 'failed') as failed
from audit_scheduled_reports r
left join audit_due_reports d on d.tenant_id = r.tenant_id and d.report_id = r.report_id
where %(report_id)s::uuid is null or r.report_id = %(report_id)s::uuid
group by r.tenant_id, r.report_id
order by r.created_at, r.report_id
