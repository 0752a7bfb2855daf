-- The printed name of an account, sealed under its person's key.
select sealed_name from audit_users where user_id = %(user_id)s
