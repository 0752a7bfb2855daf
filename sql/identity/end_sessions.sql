-- All sessions of an account end.
update audit_sessions set ended_at = %(now)s, end_reason = %(reason)s
where user_id = %(user_id)s and ended_at is null
