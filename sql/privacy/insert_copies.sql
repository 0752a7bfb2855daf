-- Copies that are to be followed; those already known stay as they are.
insert into audit_erasure_copies (tenant_id, actor_ref, kind, key, action, reason, digest_before)
select %(tenant_id)s, %(actor_ref)s, g.kind, g.key, 'pending', '', g.digest
from unnest(%(kinds)s::text[], %(keys)s::text[], %(digests)s::bytea[]) as g (kind, key, digest)
on conflict do nothing
