-- Count what a batch of vectors took, or an attempt at one.
update audit_embedding_models
set requests = requests + %(requests)s, tokens = tokens + %(tokens)s, used_at = clock_timestamp()
where tenant_id = %(tenant_id)s and model = %(model)s
