-- A row of the tenant by its place; its time spares looking through every month.
select tenant_id, seq, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash, occurred_at, actor_ref, event_type,
       entity_type, entity_id, outcome, ip_address, ip_index, user_agent
from audit_logs
where seq = %(seq)s and recorded_at = %(recorded_at)s
