-- Who gets a scheduled report.
select recipients from audit_scheduled_reports where tenant_id = %(tenant_id)s and report_id = %(key)s::uuid
