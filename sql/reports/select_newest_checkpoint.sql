-- A tenant's newest signed checkpoint.
select size, encode(root, 'hex'), note, key_id from audit_checkpoints
where tenant_id = %(tenant_id)s order by size desc limit 1
