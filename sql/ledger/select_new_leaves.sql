-- What a new checkpoint adds to the tree: the rows from a sequence number on.
select seq, recorded_at, entry, prev_hash, row_hash
from audit_logs
where tenant_id = %(tenant_id)s and seq >= %(first_seq)s
order by seq
