-- Sessions of the session's tenant that live at a moment, by account.
select user_id, count(*) from audit_sessions
where ended_at is null and expires_at > %(at)s and last_seen_at > %(idle_since)s group by user_id
