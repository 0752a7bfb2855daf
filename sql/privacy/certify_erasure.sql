-- An erasure was followed to the last copy.
update audit_erasures set certificate = %(certificate)s, certified_at = %(certified_at)s
where tenant_id = %(tenant_id)s and actor_ref = %(actor_ref)s and certificate is null
