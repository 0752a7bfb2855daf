-- A tenant's rows in chain order, with all that a verifier compares.
select seq, recorded_at, entry, entry_hash, prev_hash, row_hash, event_id, occurred_at, actor_ref, event_type,
       entity_type, entity_id, outcome, ip_address, ip_index, user_agent
from audit_logs
where tenant_id = %(tenant_id)s
order by seq, recorded_at
