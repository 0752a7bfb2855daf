-- What is archived of a tenant's month; replaced as long as its rows are in the database.
insert into audit_archives (tenant_id, month, first_seq, last_seq, first_prev_hash, last_row_hash, occurred_from,
                            occurred_to, file_sha256, file_bytes, manifest, checkpoint_size)
values (%(tenant_id)s, %(month)s, %(first_seq)s, %(last_seq)s, %(first_prev_hash)s, %(last_row_hash)s,
        %(occurred_from)s::timestamptz, %(occurred_to)s::timestamptz, %(file_sha256)s, %(file_bytes)s, %(manifest)s,
        %(checkpoint_size)s)
on conflict (tenant_id, month) do update set
    first_seq = excluded.first_seq, last_seq = excluded.last_seq, first_prev_hash = excluded.first_prev_hash,
    last_row_hash = excluded.last_row_hash, occurred_from = excluded.occurred_from,
    occurred_to = excluded.occurred_to, file_sha256 = excluded.file_sha256, file_bytes = excluded.file_bytes,
    manifest = excluded.manifest, checkpoint_size = excluded.checkpoint_size, verified_at = clock_timestamp()
