-- Each tenant's newest report of a kind, by its lineage.
select distinct on (tenant_id) tenant_id, output_key, encode(output_digest, 'hex'), inputs
from audit_lineage where output_kind = %(kind)s
order by tenant_id, lineage_id desc
