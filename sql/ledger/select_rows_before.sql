-- What the rows at some sequence numbers claim to be; the time in whole microseconds since 1970, null if it is infinite.
select seq, row_hash, case when isfinite(recorded_at) then (extract(epoch from recorded_at) * 1000000)::bigint end
from audit_logs
where tenant_id = %(tenant_id)s and seq = any (%(seqs)s)
