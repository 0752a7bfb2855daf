-- From here on the tenant uses this model.
update audit_embedding_models set in_use = true, in_use_since = clock_timestamp()
where tenant_id = %(tenant_id)s and model = %(model)s
