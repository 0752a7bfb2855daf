-- A person's account and when they were signed in, without what a password is checked with; the name is sealed.
select to_jsonb(u) - array['tenant_id', 'login_index', 'password_hash', 'former_hashes']
       || jsonb_build_object('login', %(identity)s::text, 'sessions', coalesce((
              select jsonb_agg(to_jsonb(s) - array['tenant_id', 'user_id'] order by s.begun_at) from audit_sessions s
              where s.tenant_id = u.tenant_id and s.user_id = u.user_id), '[]'))
from audit_users u
where u.tenant_id = %(tenant_id)s and u.user_id = %(actor_ref)s
