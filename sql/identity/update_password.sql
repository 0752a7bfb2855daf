-- Another password, or the same in another hash.
update audit_users
set password_hash = %(password_hash)s, former_hashes = %(former_hashes)s, password_set_at = %(password_set_at)s,
    must_change = %(must_change)s
where user_id = %(user_id)s
