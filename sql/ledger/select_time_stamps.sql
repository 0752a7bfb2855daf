-- The time-stamp tokens of some checkpoints of the session's tenant.
select receipt from audit_anchorings where size = any(%(sizes)s) and receipt is not null order by size, anchor
