-- One erasure of a tenant.
select erased_at, seq, encode(row_hash, 'hex'), requested_by, request_index, certificate
from audit_erasures where tenant_id = %(tenant_id)s and actor_ref = %(actor_ref)s
