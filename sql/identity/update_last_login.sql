-- Somebody signed in.
update audit_users set last_login_at = %(now)s where user_id = %(user_id)s
