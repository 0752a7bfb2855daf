-- Reports of the tenant that somebody signed, by the beginning of their keys.
select distinct record_id from audit_signatures
where record_kind = 'report' and starts_with(record_id, %(prefix)s)
