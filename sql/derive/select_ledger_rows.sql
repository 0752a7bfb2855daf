-- A tenant's rows from one seq to before another, or to the end, in chain order: what is hashed, and its hashes.
select seq, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash
from audit_logs
where tenant_id = %(tenant_id)s and seq >= %(first_seq)s and (%(end_seq)s::bigint is null or seq < %(end_seq)s)
order by seq
