-- New subjects; whoever was faster wins, and the caller reads again.
insert into audit_subjects (tenant_id, actor_ref, actor_index, sealed_identity, wrapped_key, master_key_id)
select %(tenant_id)s, g.*, %(master_key_id)s
from unnest(%(refs)s::uuid[], %(indexes)s::bytea[], %(identities)s::text[], %(keys)s::bytea[]) as g
on conflict do nothing
