-- Holds that keep a person from being erased.
select jsonb_build_object('hold_id', hold_id, 'reason', reason, 'placed_at', placed_at, 'released_at', released_at)
from audit_legal_holds where tenant_id = %(tenant_id)s and filters -> 'actor_ref' @> to_jsonb(%(actor_ref)s::text)
order by placed_at
