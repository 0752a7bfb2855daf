-- The events behind a tenant's texts: how many, which, and from when to when.
select count(*), min(t.seq), max(t.seq), min(l.occurred_at), max(l.occurred_at)
from audit_event_texts t join audit_logs l on l.tenant_id = t.tenant_id and l.seq = t.seq
where t.tenant_id = %(tenant_id)s
