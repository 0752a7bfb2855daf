-- Which of these keys of the session's tenant were used before, with what, and what was answered.
select key, request_hash, response from audit_idempotency_keys where key = any (%(keys)s)
