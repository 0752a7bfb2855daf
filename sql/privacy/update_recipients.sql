-- Who gets a scheduled report from now on; one that is about the person is switched off.
update audit_scheduled_reports
set recipients = %(recipients)s, enabled = enabled and person_ref is distinct from %(actor_ref)s
where tenant_id = %(tenant_id)s and report_id = %(key)s::uuid
