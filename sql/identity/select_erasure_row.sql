-- The event that says that a person was erased.
select tenant_id, seq, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash, occurred_at, actor_ref, event_type,
       entity_type, entity_id, outcome, ip_address, ip_index, user_agent
from audit_logs
where event_type = 'audit.subject.erased' and entity_type = 'audit_subject' and entity_id = %(id)s and actor_ref is null
order by seq
limit 1
