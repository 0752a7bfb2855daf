-- The newest record of each derived artefact of a tenant.
select distinct on (output_kind, output_key) output_kind, output_key, inputs
from audit_lineage where tenant_id = %(tenant_id)s
order by output_kind, output_key, lineage_id desc
