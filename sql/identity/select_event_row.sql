-- One event of the tenant by its id, as the timeline shows it.
select tenant_id, seq, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash, occurred_at, actor_ref, event_type,
       entity_type, entity_id, outcome, ip_address, ip_index, user_agent
from audit_logs
where event_id = %(id)s
order by seq
limit 1
