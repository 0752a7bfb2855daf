-- Where the tenant's chain says it ends.
select next_seq, head_hash from audit_chain_heads where tenant_id = %(tenant_id)s
