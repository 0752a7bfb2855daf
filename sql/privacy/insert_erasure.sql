-- That a key was destroyed, in the transaction that did it.
insert into audit_erasures (tenant_id, actor_ref, erased_at, seq, row_hash, requested_by, request_index)
values (%(tenant_id)s, %(actor_ref)s, %(erased_at)s, %(seq)s, %(row_hash)s, %(requested_by)s, %(request_index)s)
