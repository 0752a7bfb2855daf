-- Kinds of event that a tenant's texts are of, as the words that a text begins with.
select distinct split_part(text, '; ', 1) from audit_embeddings
where tenant_id = %(tenant_id)s and model = %(model)s
