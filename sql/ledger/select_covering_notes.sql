-- Of the session's tenant's checkpoints by one key: the oldest that covers a row, and the newest; none if none covers it.
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
order by size
