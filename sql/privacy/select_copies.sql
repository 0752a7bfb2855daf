-- The copies of an erasure: what was done with each, or that it is still to do.
select kind, key, action, reason, encode(digest_before, 'hex'), encode(digest_after, 'hex'), done_at
from audit_erasure_copies where tenant_id = %(tenant_id)s and actor_ref = %(actor_ref)s
order by kind collate "C", key collate "C"
