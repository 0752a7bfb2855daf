-- Whether somebody signed a record of this content.
select exists (select from audit_signatures where tenant_id = %(tenant_id)s and record_hash = %(digest)s)
