-- Scheduled reports that are switched on.
select report_id, tenant_id, kind, cron, coalesce(last_due_at, created_at) from audit_scheduled_reports
where enabled order by tenant_id, report_id
