-- When one row was recorded; the index on (tenant_id, seq) answers it.
select recorded_at from audit_logs where tenant_id = %(tenant_id)s and seq = %(seq)s
