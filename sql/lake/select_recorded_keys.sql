-- Every file of the lake that was recorded, unless its newest record says that it was removed.
select tenant_id, output_kind, output_key from (
    select distinct on (tenant_id, output_kind, output_key) tenant_id, output_kind, output_key, output_digest
    from audit_lineage where output_kind = any(%(kinds)s)
    order by tenant_id, output_kind, output_key, lineage_id desc
) newest
where output_digest <> sha256('')
order by tenant_id, output_kind, output_key
