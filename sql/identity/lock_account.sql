-- An account by its login, held until the transaction ends: attempts at one account come one after the other, so that
-- racing ones get no more tries than others.
select u.user_id, u.password_hash, u.former_hashes, u.password_set_at, u.must_change, u.permissions, u.sealed_name,
       u.disabled_at, u.failed_attempts, u.locked_until,
       exists (select from audit_subjects s where s.actor_ref = u.user_id and s.erased_at is not null) as is_erased
from audit_users u
where u.login_index = %(login_index)s
for update of u
