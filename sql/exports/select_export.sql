-- One export of the session's tenant.
select export_id, format, state, requested_ref, with_names, asked, head_seq, rows_total, rows_done, bytes as size, sha256, seq,
       error, created_at, finished_at, expires_at, state = 'ready' and expires_at <= clock_timestamp() as has_ended
from audit_exports where export_id = %(export_id)s
