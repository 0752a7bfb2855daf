-- All accounts of the tenant, the oldest first.
select user_id, sealed_name, permissions, created_at, password_set_at, must_change, last_login_at, disabled_at,
       failed_attempts, locked_until
from audit_users
order by created_at, user_id
