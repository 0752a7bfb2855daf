-- The same keys in other wrapping.
select audit_rewrap_subjects(
    %(tenant_ids)s::uuid[], %(refs)s::uuid[], %(former)s::bytea[], %(wrapped)s::bytea[], %(master_key_id)s)
