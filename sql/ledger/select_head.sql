-- Where the tenant's chain says it ends; the time as a number, because Python has no infinite or later moments.
select next_seq, head_hash, extract(epoch from recorded_at) * 1000000 from audit_chain_heads
where tenant_id = %(tenant_id)s
