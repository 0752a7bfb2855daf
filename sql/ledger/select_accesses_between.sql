-- Rows of the access log that say they are of entries in a stretch of the chain, in its order.
select seq, event_id, row_hash, accessed_at, subject_ref, 'audit.access.' || action, ip_address, ip_index, user_agent,
       filters::text, result_count
from audit_access_log
where tenant_id = %(tenant_id)s and seq between %(first_seq)s and %(last_seq)s
order by seq
