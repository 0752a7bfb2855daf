-- The mailboxes of the session's tenant, each with its sealed address.
select integration_id, sealed_config from audit_integrations where kind = 'email'
