-- Whether the tenant has an account of this login whose person is not erased.
select exists (
    select from audit_users u
    join audit_subjects s on s.actor_ref = u.user_id and s.erased_at is null
    where u.login_index = %(login_index)s)
