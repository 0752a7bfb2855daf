-- New texts, which wait for their vectors.
insert into audit_embeddings (tenant_id, model, text_hash, text)
select %(tenant_id)s, %(model)s, g.text_hash, g.text
from unnest(%(hashes)s::bytea[], %(texts)s::text[]) as g (text_hash, text)
on conflict (tenant_id, model, text_hash) do nothing
