-- The mailboxes of the session's tenant, each with its sealed address, the oldest first.
select integration_id, minimum_severity, enabled, created_at, sealed_config
from audit_integrations where kind = 'email' order by created_at, integration_id
