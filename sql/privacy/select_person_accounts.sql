-- A person's account, without what a password is checked with.
select to_jsonb(u) - array['tenant_id', 'password_hash', 'former_password_hashes'] from audit_users u
where tenant_id = %(tenant_id)s and lower(login) = %(login)s order by user_id
