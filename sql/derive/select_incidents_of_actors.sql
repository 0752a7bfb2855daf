-- The open incidents of some actors of a tenant, the oldest first; null is no known actor.
select actor_ref, incident_id, founding_seq from audit_incidents
where tenant_id = %(tenant_id)s and state = 'open'
  and (actor_ref = any(%(actors)s::uuid[])
       or (actor_ref is null and array_position(%(actors)s::uuid[], null) is not null))
order by founding_seq
