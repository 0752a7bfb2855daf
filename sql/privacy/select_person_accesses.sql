-- What a person looked at.
select jsonb_build_object('accessed_at', accessed_at, 'action', action, 'filters', filters, 'result_count', result_count)
from audit_access_log where tenant_id = %(tenant_id)s and subject_ref = %(actor_ref)s order by access_id
