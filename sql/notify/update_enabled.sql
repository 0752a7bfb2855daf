-- Switch a destination of the session's tenant on or off.
update audit_integrations set enabled = %(enabled)s where integration_id = %(integration_id)s
