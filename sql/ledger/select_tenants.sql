-- Every tenant that left a trace anywhere in the ledger, also where somebody deleted part of it.
select tenant_id from audit_chain_heads
union select tenant_id from audit_checkpoints
union select tenant_id from audit_event_ids
union select tenant_id from audit_logs
order by tenant_id
