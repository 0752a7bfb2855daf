-- Scheduled reports that are switched on, and how far their due times are queued.
select tenant_id, report_id, cron, time_zone, coalesce(last_due_at, created_at) from audit_scheduled_reports
where enabled order by tenant_id, report_id
