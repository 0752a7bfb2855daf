-- Ledger entries of a tenant that speak of a signature, and those of them whose signature is not there.
select count(*),
       count(*) filter (where not exists (
           select from audit_signatures s
           where s.tenant_id = l.tenant_id and s.seq = l.seq and s.signature_id::text = l.entity_id))
from audit_logs l
where l.tenant_id = %(tenant_id)s and l.event_type = 'audit.signature.created'
