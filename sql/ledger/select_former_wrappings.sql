-- The next keys that are wrapped in another master key, in the order of the primary key.
select tenant_id, actor_ref, wrapped_key, master_key_id
from audit_subjects
where (tenant_id, actor_ref) > (%(tenant_id)s, %(actor_ref)s)
  and wrapped_key is not null and master_key_id <> %(master_key_id)s
order by tenant_id, actor_ref
limit %(limit)s
