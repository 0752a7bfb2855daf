-- Rows of one tenant in a range of seq and time, as the lake keeps them. The bounds come from the session: ADBC streams
-- a query without parameters by binary COPY, one with parameters row by row.
select tenant_id::text as tenant_id, seq, recorded_at, event_id, occurred_at, actor_ref::text as actor_ref, event_type,
       entity_type, entity_id, outcome, encode(ip_index, 'hex') as ip_index, user_agent,
       nullif((convert_from(entry, 'UTF8')::json -> 'details')::text, 'null') as details,
       encode(row_hash, 'hex') as row_hash
from audit_logs
where tenant_id = current_setting('lake.tenant_id')::uuid
  and seq between current_setting('lake.first_seq')::bigint and current_setting('lake.last_seq')::bigint
  and recorded_at >= current_setting('lake.since')::timestamptz
  and recorded_at < current_setting('lake.until')::timestamptz
order by seq
