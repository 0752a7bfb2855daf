-- How many persons the tenant has erased; none without a head, since the first erasure makes one.
select erasures from audit_chain_heads where tenant_id = (select audit_current_tenant())
