-- A destination of alerts, in the transaction of the event that says so.
insert into audit_integrations (tenant_id, integration_id, kind, name, sealed_config, minimum_severity)
values (%(tenant_id)s, %(integration_id)s, %(kind)s, %(name)s, %(sealed_config)s, %(minimum_severity)s)
