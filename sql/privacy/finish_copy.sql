-- What became of a copy.
update audit_erasure_copies
set action = %(action)s, reason = %(reason)s, digest_after = %(digest)s, done_at = clock_timestamp()
where tenant_id = %(tenant_id)s and actor_ref = %(actor_ref)s and kind = %(kind)s and key = %(key)s
