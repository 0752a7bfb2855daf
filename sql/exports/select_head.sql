-- Where the session's tenant's chain ends, and how often somebody was erased.
select next_seq - 1, head_hash, erasures from audit_chain_heads
