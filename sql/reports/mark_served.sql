-- A due time of a scheduled report was served.
update audit_scheduled_reports set last_due_at = %(due_at)s
where report_id = %(report_id)s and (last_due_at is null or last_due_at < %(due_at)s)
