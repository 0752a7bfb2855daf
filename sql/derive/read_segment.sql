-- A range of one tenant's ledger as a segment keeps it: the bytes that were hashed, and the links; in order.
select seq, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash from audit_logs
where tenant_id = %(tenant_id)s and seq between %(first_seq)s and %(last_seq)s order by seq
