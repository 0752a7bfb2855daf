-- One row per derived artefact, in the transaction of the data it describes.
insert into audit_lineage (tenant_id, output_kind, output_key, output_digest, inputs, model_id, code_version, run_id)
select g.tenant_id, g.kind, g.key, g.digest, g.inputs::jsonb, g.model_id, %(code_version)s, %(run_id)s
from unnest(%(tenants)s::uuid[], %(kinds)s::text[], %(keys)s::text[], %(digests)s::bytea[], %(inputs)s::text[],
            %(models)s::text[]) as g (tenant_id, kind, key, digest, inputs, model_id)
