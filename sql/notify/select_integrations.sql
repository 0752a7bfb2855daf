-- The destinations of the session's tenant with what became of their alerts, the oldest first.
select g.integration_id, g.kind, g.name, g.minimum_severity, g.enabled, g.created_at,
       count(*) filter (where d.state = 'delivered') as delivered,
       count(*) filter (where d.state in ('waiting', 'sending')) as waiting,
       count(*) filter (where d.state = 'dead') as dead
from audit_integrations g
left join audit_alert_deliveries d on d.tenant_id = g.tenant_id and d.integration_id = g.integration_id
group by g.tenant_id, g.integration_id
order by g.created_at, g.integration_id
