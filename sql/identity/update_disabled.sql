-- Nobody may use the account from then on, or again, where there is no time.
update audit_users set disabled_at = %(disabled_at)s where user_id = %(user_id)s
