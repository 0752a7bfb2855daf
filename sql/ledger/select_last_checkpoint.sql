-- The tenant's newest signed checkpoint.
select size, root, chain_head, note, frontier from audit_checkpoints
where tenant_id = %(tenant_id)s order by size desc limit 1
