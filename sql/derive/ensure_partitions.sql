-- Monthly partitions of the ledger, made ahead of need.
select audit_ensure_partitions(%(now)s, %(months)s)
