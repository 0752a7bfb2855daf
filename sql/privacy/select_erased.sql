-- When a subject of the tenant was erased; null for the living.
select erased_at from audit_subjects where tenant_id = %(tenant_id)s and actor_ref = %(actor_ref)s
