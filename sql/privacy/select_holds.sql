-- The holds of the session's tenant, newest first; one alone where an id is given.
select hold_id, reason, filters, placed_by, placed_at, released_by, released_at, release_reason
from audit_legal_holds
where %(hold_id)s::uuid is null or hold_id = %(hold_id)s
order by placed_at desc, hold_id
