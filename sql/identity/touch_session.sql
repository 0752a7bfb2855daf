-- Whether a session is live; if it is, that it was used now, written down when the last such note is old enough.
with live as (
    select s.session_id, s.last_seen_at
    from audit_sessions s
    join audit_users u on u.user_id = s.user_id and u.disabled_at is null
    join audit_subjects p on p.actor_ref = s.user_id and p.erased_at is null
    where s.session_id = %(session_id)s and s.ended_at is null and s.expires_at > %(now)s
      and s.last_seen_at > %(idle_since)s
), touched as (
    update audit_sessions s set last_seen_at = %(now)s
    from live
    where s.session_id = live.session_id and live.last_seen_at < %(noted_since)s
)
select exists (select from live)
