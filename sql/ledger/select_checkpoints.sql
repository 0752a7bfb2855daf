-- A tenant's signed checkpoints, oldest first.
select size, root, chain_head, note, frontier from audit_checkpoints where tenant_id = %(tenant_id)s order by size
