-- What the leaves from one place up to the size of a checkpoint are made of; the session's tenant alone.
select seq, recorded_at, entry_hash
from audit_logs
where seq >= %(first)s and seq < %(size)s
order by seq
