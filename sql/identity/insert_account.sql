-- A new account, unless the login was ever given to somebody.
insert into audit_users (tenant_id, user_id, login_index, sealed_name, password_hash, password_set_at, must_change,
                         permissions, created_at)
values (%(tenant_id)s, %(user_id)s, %(login_index)s, %(sealed_name)s, %(password_hash)s, %(now)s, true,
        %(permissions)s, %(now)s)
on conflict do nothing
