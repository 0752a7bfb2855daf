-- Actors whose incidents are to be told anew: with anomalies of no incident yet, or with an incident that lost or changed
-- some. Of one tenant, or of all where none is given.
select tenant_id, actor_ref from audit_anomalies
where incident_id is null and (%(tenant_id)s::uuid is null or tenant_id = %(tenant_id)s)
union
select tenant_id, actor_ref from audit_incidents
where stale and (%(tenant_id)s::uuid is null or tenant_id = %(tenant_id)s)
order by tenant_id, actor_ref
