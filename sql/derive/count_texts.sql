-- Distinct texts of a tenant with a vector of this model.
select count(*) from audit_embeddings
where tenant_id = %(tenant_id)s and model = %(model)s and embedding is not null
