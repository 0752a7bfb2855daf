-- An erased person's account: nobody logs in with it again, and nobody is called what they were called.
update audit_users set login = 'erased-' || user_id, password_hash = '', permissions = '{}',
                       disabled_at = coalesce(disabled_at, clock_timestamp())
where tenant_id = %(tenant_id)s and user_id = %(key)s::uuid
