-- How many accesses of a tenant are recorded as entries of its chain.
select count(*) from audit_access_log where tenant_id = %(tenant_id)s and seq is not null
