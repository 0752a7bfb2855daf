-- An answer to remember, in the transaction that stores what it answers for.
insert into audit_idempotency_keys (tenant_id, key, request_hash, response)
values (%(tenant_id)s, %(key)s, %(request_hash)s, %(response)s)
