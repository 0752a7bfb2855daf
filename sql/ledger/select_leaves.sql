-- What the leaves below a checkpoint are made of.
select seq, recorded_at, entry_hash
from audit_logs
where seq < %(size)s
order by seq
