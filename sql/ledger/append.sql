-- The one way in; see the function's comment.
select tenant_id, event_id, first_seq, recorded_at, links
from audit_append(
    %(tenant_id)s::uuid[], %(event_id)s::text[], %(is_client_id)s::boolean[], %(fingerprint)s::bytea[],
    %(entry)s::bytea[], %(occurred_at)s::timestamptz[], %(actor_ref)s::uuid[], %(event_type)s::text[],
    %(entity_type)s::text[], %(entity_id)s::text[], %(outcome)s::text[], %(ip_address)s::text[], %(ip_index)s::bytea[],
    %(user_agent)s::text[])
