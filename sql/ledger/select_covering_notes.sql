-- Of the session's tenant's checkpoints by one key: the oldest that covers a row, the
-- oldest of these with a time-stamp, and the newest; none if none covers it.
(
    select size, note from audit_checkpoints
    where key_id = %(key_id)s and size > %(seq)s
    order by size limit 1
)
union
(
    select size, note from audit_checkpoints
    where key_id = %(key_id)s and size > %(seq)s
    order by size desc limit 1
)
union
(
    select c.size, c.note from audit_checkpoints c
    join audit_anchorings a on a.tenant_id = c.tenant_id and a.size = c.size and a.receipt is not null
    where c.key_id = %(key_id)s and c.size > %(seq)s
    order by c.size limit 1
)
order by size
