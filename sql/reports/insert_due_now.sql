-- A due time that somebody asked for.
insert into audit_due_reports (tenant_id, report_id, due_at, since, next_try_at)
values (%(tenant_id)s, %(report_id)s, %(due_at)s, %(since)s, %(now)s)
on conflict do nothing
