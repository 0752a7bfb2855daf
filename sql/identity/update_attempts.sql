-- How often somebody tried, and until when nobody may.
update audit_users set failed_attempts = %(failed_attempts)s, locked_until = %(locked_until)s
where user_id = %(user_id)s
