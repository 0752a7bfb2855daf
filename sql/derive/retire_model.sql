-- From here on the tenant does not use the model that it uses.
update audit_embedding_models set in_use = false, used_at = clock_timestamp()
where tenant_id = %(tenant_id)s and in_use
