-- Queue due times of a scheduled report and note how far they are queued; the key lets each be queued once. A report
-- that was changed meanwhile is queued by its new line alone.
with queued as (
    insert into audit_due_reports (tenant_id, report_id, due_at, since, next_try_at)
    select r.tenant_id, r.report_id, t.due_at, t.since, %(now)s
    from audit_scheduled_reports r, unnest(%(dues)s::timestamptz[], %(sinces)s::timestamptz[]) as t (due_at, since)
    where r.tenant_id = %(tenant_id)s and r.report_id = %(report_id)s and r.enabled
      and coalesce(r.last_due_at, r.created_at) < t.due_at
    on conflict do nothing
    returning tenant_id, report_id, due_at
)
update audit_scheduled_reports r set last_due_at = greatest(r.last_due_at, q.due_at)
from (select tenant_id, report_id, max(due_at) as due_at from queued group by tenant_id, report_id) q
where r.tenant_id = q.tenant_id and r.report_id = q.report_id
