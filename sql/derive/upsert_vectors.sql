-- Vectors of texts; one that is there already stays.
insert into audit_embeddings (tenant_id, model, text_hash, text, embedding)
select %(tenant_id)s, %(model)s, g.text_hash, g.text, g.vector::vector
from unnest(%(hashes)s::bytea[], %(texts)s::text[], %(vectors)s::text[]) as g (text_hash, text, vector)
on conflict (tenant_id, model, text_hash) do update set embedding = excluded.embedding
where audit_embeddings.embedding is null
