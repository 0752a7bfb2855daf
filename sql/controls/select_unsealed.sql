-- Rows of a tenant behind its newest checkpoint that were recorded before a time, the first of them, and that checkpoint.
select count(l.seq), min(l.recorded_at), max(c.size), max(c.sealed_at)
from (select coalesce(max(size), 0) as size, max(sealed_at) as sealed_at
      from audit_checkpoints where tenant_id = %(tenant_id)s) as c
left join audit_logs l on l.tenant_id = %(tenant_id)s and l.seq >= c.size and l.recorded_at < %(before)s
