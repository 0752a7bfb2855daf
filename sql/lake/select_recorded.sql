-- The digests that were recorded for one file of the lake, newest first.
select encode(output_digest, 'hex') from audit_lineage
where tenant_id = %(tenant_id)s and output_kind = any(%(kinds)s) and output_key = %(key)s
order by lineage_id desc
