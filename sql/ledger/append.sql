-- The one way in; see the function's comment. Its arguments depend on the lock time-out (0: none), so that this is set
-- before any head is locked, without a round trip of its own.
select tenant_id, event_id, first_seq, recorded_at, links
from (select set_config('lock_timeout', %(lock_timeout_ms)s::text, true) is not null as done) as waiting
cross join lateral audit_append(
    case when waiting.done then %(tenant_id)s::uuid[] end, %(count)s::integer[], %(erasures)s::bigint[],
    %(event_id)s::text[], %(fingerprint)s::bytea[], %(entry)s::bytea[], %(occurred_at)s::timestamptz[],
    %(actor_ref)s::uuid[], %(event_type)s::text[], %(entity_type)s::text[], %(entity_id)s::text[],
    %(outcome)s::text[], %(ip_address)s::text[], %(ip_index)s::bytea[], %(user_agent)s::text[])
