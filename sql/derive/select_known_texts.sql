-- Which of the given texts a tenant has, with or without a vector of whatever model.
select distinct text_hash from audit_embeddings where tenant_id = %(tenant_id)s and text_hash = any (%(hashes)s)
