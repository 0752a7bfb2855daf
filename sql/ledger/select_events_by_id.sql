-- Rows to prove, by their event ids; the session's tenant alone.
select seq, recorded_at, entry, prev_hash, row_hash, event_id
from audit_logs
where event_id = any (%(event_ids)s)
order by seq
