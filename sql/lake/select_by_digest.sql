-- Which file of the lake had these bytes when it was recorded.
select tenant_id, output_key from audit_lineage
where output_digest = %(digest)s and output_kind = any(%(kinds)s)
order by lineage_id desc limit 1
