-- The accounts of the session's tenant that can be used: what tells whether their passwords and tries are as they must be.
select u.user_id, u.password_hash, u.password_set_at, u.failed_attempts, u.locked_until,
       u.locked_until is not null and not exists (
           select from audit_logs l where l.entity_type = 'audit_account' and l.event_type = 'audit.account.locked'
             and l.entity_id = u.user_id::text)
from audit_users u
join audit_subjects s on s.tenant_id = u.tenant_id and s.actor_ref = u.user_id and s.erased_at is null
where u.disabled_at is null order by u.created_at
