-- Keep days, ids and links of a month before it is dropped.
select audit_keep_ids(%(tenant_id)s, %(month)s)
