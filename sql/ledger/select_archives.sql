-- What is archived of a tenant, in the order of the chain.
select tenant_id, month, first_seq, last_seq, first_prev_hash, last_row_hash, occurred_from, occurred_to, file_sha256,
       file_bytes, manifest, checkpoint_size, verified_at, released_at, due_at, deleted_at
from audit_archives
where tenant_id = %(tenant_id)s
order by first_seq
