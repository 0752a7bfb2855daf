-- Events of the tenant that somebody signed.
select distinct record_id from audit_signatures where record_kind = 'event'
