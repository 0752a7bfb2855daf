-- The rows at some sequence numbers with their columns as the entry writes them, for comparison one by one.
select seq, entry, event_id,
       case when occurred_at >= '0001-01-01T00:00:00Z'
            then to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
            else occurred_at::text end,
       actor_ref::text, event_type, entity_type, entity_id, outcome, ip_address, encode(ip_index, 'hex'), user_agent
from audit_logs
where tenant_id = %(tenant_id)s and seq = any (%(seqs)s)
order by seq, recorded_at
