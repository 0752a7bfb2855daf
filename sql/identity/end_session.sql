-- One session ends, unless it has.
update audit_sessions set ended_at = %(now)s, end_reason = %(reason)s
where session_id = %(session_id)s and ended_at is null
returning user_id
