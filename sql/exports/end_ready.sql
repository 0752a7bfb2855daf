-- A file whose time is over has been removed.
update audit_exports set state = 'expired'
where tenant_id = %(tenant_id)s and export_id = %(export_id)s and state = 'ready' and expires_at <= clock_timestamp()
