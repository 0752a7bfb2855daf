-- Sessions of the session's tenant that could be used at a time, and those of them that must not be.
select count(*),
       string_agg(s.session_id::text, ', ' order by s.begun_at) filter (
           where u.disabled_at is not null or p.erased_at is not null
              or s.expires_at > s.begun_at + %(longest)s)
from audit_sessions s
join audit_users u using (tenant_id, user_id)
join audit_subjects p on p.tenant_id = u.tenant_id and p.actor_ref = u.user_id
where s.ended_at is null and s.expires_at > %(now)s and s.last_seen_at > %(idle_since)s
