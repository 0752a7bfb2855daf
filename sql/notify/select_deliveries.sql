-- The alerts of the session's tenant and what became of them, newest first.
select d.delivery_id, d.incident_id, d.severity, g.name as destination, d.state, d.attempts, d.queued_at, d.next_try_at,
       d.delivered_at, d.last_error
from audit_alert_deliveries d
join audit_integrations g on g.tenant_id = d.tenant_id and g.integration_id = d.integration_id
order by d.queued_at desc, d.delivery_id limit %(limit)s
