-- Files whose time is over, of every tenant.
select tenant_id, export_id, format from audit_exports where state = 'ready' and expires_at <= clock_timestamp()
