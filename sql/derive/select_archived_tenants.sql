-- Every tenant with something in the archive.
select distinct tenant_id from audit_archives order by tenant_id
