-- The account behind a live session, and whether a signature was made in it before.
select s.user_id, u.login_index, s.first_signed_at is not null
from audit_sessions s
join audit_users u on u.user_id = s.user_id and u.disabled_at is null
join audit_subjects p on p.actor_ref = s.user_id and p.erased_at is null
where s.session_id = %(session_id)s and s.ended_at is null and s.expires_at > %(now)s and s.last_seen_at > %(idle_since)s
