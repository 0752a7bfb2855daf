-- The first signature in a session.
update audit_sessions set first_signed_at = %(now)s where session_id = %(session_id)s and first_signed_at is null
