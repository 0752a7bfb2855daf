-- The living subjects behind the given indexes.
select actor_index, actor_ref, wrapped_key, master_key_id
from audit_subjects
where actor_index = any (%(indexes)s) and erased_at is null
