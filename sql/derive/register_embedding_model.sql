-- Enter a tenant's embedding model; the first one is in use from then on, others once they are whole.
insert into audit_embedding_models (tenant_id, model, name, dimension, digest, source, in_use, in_use_since)
select %(tenant_id)s, %(model)s, %(name)s, %(dimension)s, %(digest)s, %(source)s, f.is_first,
       case when f.is_first then clock_timestamp() end
from (select not exists (select from audit_embedding_models
                         where tenant_id = %(tenant_id)s and in_use) as is_first) as f
on conflict (tenant_id, model) do update
set digest = excluded.digest, source = excluded.source, used_at = clock_timestamp(), removed_at = null
