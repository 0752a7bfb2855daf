-- The oldest checkpoint that covers a row.
select size, note from audit_checkpoints where tenant_id = %(tenant_id)s and size > %(seq)s order by size limit 1
