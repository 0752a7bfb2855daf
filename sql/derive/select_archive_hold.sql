-- Why an archive must stay; null where nothing holds it.
select audit_archive_hold(%(tenant_id)s, %(since)s, %(until)s)
