-- Who gets a scheduled report from now on.
update audit_scheduled_reports set recipients = %(recipients)s
where tenant_id = %(tenant_id)s and report_id = %(key)s::uuid
