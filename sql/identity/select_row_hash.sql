-- The hash that commits to a tenant's chain up to a row.
select row_hash from audit_logs
where tenant_id = %(tenant_id)s and seq = %(seq)s and recorded_at >= %(since)s and recorded_at < %(until)s
