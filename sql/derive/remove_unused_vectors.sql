-- Vectors of a tenant's models that were in use or in the making some days ago and are no more; their rows stay.
with gone as (
    update audit_embedding_models set removed_at = clock_timestamp()
    where tenant_id = %(tenant_id)s and not in_use and removed_at is null
      and used_at < clock_timestamp() - make_interval(days => %(days)s)
    returning tenant_id, model
)
delete from audit_embeddings e using gone g where e.tenant_id = g.tenant_id and e.model = g.model
