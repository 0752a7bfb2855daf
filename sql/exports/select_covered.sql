-- How far the newest checkpoint of the session's tenant covers its ledger.
select size - 1, chain_head from audit_checkpoints order by size desc limit 1
