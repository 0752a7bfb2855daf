-- Switch a mailbox of the session's tenant off and put what is sealed without an address in place of what was.
update audit_integrations set enabled = false, sealed_config = %(sealed_config)s
where integration_id = %(integration_id)s and kind = 'email'
