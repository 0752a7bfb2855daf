-- An export that was handed out as it was made, whole or broken off.
insert into audit_exports (tenant_id, export_id, format, state, requested_ref, with_names, asked, head_seq, rows_total,
                           rows_done, bytes, sha256, seq, finished_at)
values (%(tenant_id)s, %(export_id)s, %(format)s, %(state)s, %(requested_ref)s, %(with_names)s, %(asked)s, %(head_seq)s,
        %(rows_total)s, %(rows_done)s, %(bytes)s, %(sha256)s, %(seq)s, clock_timestamp())
