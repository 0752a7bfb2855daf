-- The newest record of each report that was made, with the columns of the lake's copy in its order.
select distinct on (tenant_id, output_kind, output_key)
       tenant_id::text, output_kind, output_key, encode(output_digest, 'hex'),
       (jsonb_path_query_first(inputs, '$[*] ? (@.kind == "period")') ->> 'since')::timestamptz,
       (jsonb_path_query_first(inputs, '$[*] ? (@.kind == "period")') ->> 'until')::timestamptz,
       code_version, run_id, recorded_at
from audit_lineage where output_kind like '%\_report'
order by tenant_id, output_kind, output_key, lineage_id desc
