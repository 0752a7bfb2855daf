-- The newest checkpoint of the session's tenant.
select size, note from audit_checkpoints order by size desc limit 1
