-- A person's account, whose id is their reference.
select 'account', user_id::text from audit_users
where tenant_id = %(tenant_id)s and user_id = %(actor_ref)s
