-- The first checkpoint that covers a row.
select size, sealed_at
from audit_checkpoints
where size > %(seq)s
order by size
limit 1
