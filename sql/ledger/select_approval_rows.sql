-- The ledger's rows that say who approved a deletion.
select seq, entry from audit_logs where tenant_id = %(tenant_id)s and seq = any (%(seqs)s)
