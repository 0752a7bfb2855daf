-- New subjects; whoever was faster wins, and the caller reads again. By rising index, so that of two processes that meet
-- the same persons in different orders one waits for the other, and not each for the other.
insert into audit_subjects (tenant_id, actor_ref, actor_index, sealed_identity, wrapped_key, master_key_id)
select %(tenant_id)s, g.ref, g.index, g.identity, g.key, %(master_key_id)s
from unnest(%(refs)s::uuid[], %(indexes)s::bytea[], %(identities)s::text[], %(keys)s::bytea[])
    as g (ref, index, identity, key)
order by g.index
on conflict do nothing
