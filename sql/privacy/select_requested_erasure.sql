-- The newest erasure that was asked for by a name, while that is remembered.
select actor_ref from audit_erasures
where tenant_id = %(tenant_id)s and request_index = %(request_index)s and erased_at > now() - interval '30 days'
order by erased_at desc limit 1
