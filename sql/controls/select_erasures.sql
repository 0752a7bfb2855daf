-- The erasures of a tenant with their certificates, and whether the key is still there.
select e.actor_ref, e.erased_at, e.certificate, s.erased_at is null
from audit_erasures e
left join audit_subjects s on s.tenant_id = e.tenant_id and s.actor_ref = e.actor_ref
where e.tenant_id = %(tenant_id)s order by e.erased_at
