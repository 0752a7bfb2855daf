-- The embedding model that a tenant uses.
select model, name, dimension, source from audit_embedding_models where tenant_id = %(tenant_id)s and in_use
