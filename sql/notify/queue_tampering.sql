-- Queue findings for every destination of their tenant, whatever severity it wants: nothing is graver.
insert into audit_alert_deliveries (tenant_id, incident_id, severity, integration_id, cause)
select tenant_id, %(alert_id)s, 'critical', integration_id, 'tampering'
from audit_integrations where tenant_id = %(tenant_id)s and enabled
on conflict (tenant_id, incident_id, severity, integration_id) do nothing
