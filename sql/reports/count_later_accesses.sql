-- How many accesses of a tenant lie behind a sequence number and up to another.
select count(*) from audit_access_log
where tenant_id = %(tenant_id)s and seq > %(after_seq)s and seq <= %(through_seq)s
