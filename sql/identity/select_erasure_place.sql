-- Which row of the ledger says that a person of the tenant was erased, wherever that row is.
select seq from audit_erasures where actor_ref = %(id)s
