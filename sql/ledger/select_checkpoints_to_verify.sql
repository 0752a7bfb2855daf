-- A tenant's signed checkpoints, oldest first; the time as a number, because Python has no infinite or later moments.
select size, root, chain_head, note, frontier, key_id, extract(epoch from sealed_at) * 1000000
from audit_checkpoints
where tenant_id = %(tenant_id)s
order by size
