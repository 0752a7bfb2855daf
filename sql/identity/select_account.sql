-- An account of the tenant whose person is not erased.
select u.user_id from audit_users u
join audit_subjects s on s.actor_ref = u.user_id and s.erased_at is null
where u.user_id = %(user_id)s
