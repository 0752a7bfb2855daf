-- One event of the current tenant by its id, the first if an id of the server's own making was sent again by a client.
select tenant_id, seq, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash, occurred_at, actor_ref, event_type,
       entity_type, entity_id, outcome, ip_address, ip_index, user_agent, 1 as found
from audit_logs
where event_id = %(event_id)s
order by seq
limit 1
