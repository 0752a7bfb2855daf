-- The open incidents of one actor of a tenant, the oldest first.
select incident_id, founding_seq from audit_incidents
where tenant_id = %(tenant_id)s and actor_ref is not distinct from %(actor_ref)s::uuid and state = 'open'
order by founding_seq
