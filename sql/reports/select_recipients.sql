-- Who gets a scheduled report, sealed.
select recipients from audit_scheduled_reports where tenant_id = %(tenant_id)s and report_id = %(report_id)s
