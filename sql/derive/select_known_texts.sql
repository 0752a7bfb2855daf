-- Which of the given texts have a vector of this model.
select text_hash from audit_embeddings
where tenant_id = %(tenant_id)s and model = %(model)s and text_hash = any (%(hashes)s)
