-- A signature, in the transaction of the ledger row that says the same.
insert into audit_signatures (tenant_id, signature_id, record_kind, record_id, record_hash, signer_ref, meaning,
                              signed_at, seq, session_id, row_hash)
values (%(tenant_id)s, %(signature_id)s, %(record_kind)s, %(record_id)s, %(record_hash)s, %(signer_ref)s, %(meaning)s,
        %(signed_at)s, %(seq)s, %(session_id)s, %(row_hash)s)
