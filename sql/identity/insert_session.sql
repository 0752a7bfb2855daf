-- A login that succeeded.
insert into audit_sessions (tenant_id, session_id, user_id, begun_at, last_seen_at, expires_at)
values (%(tenant_id)s, %(session_id)s, %(user_id)s, %(now)s, %(now)s, %(expires_at)s)
