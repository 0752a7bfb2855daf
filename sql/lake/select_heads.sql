-- How many rows each tenant's ledger has.
select tenant_id, next_seq from audit_chain_heads where next_seq > 0 order by tenant_id
