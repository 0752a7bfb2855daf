-- Names that erasures were asked for by are forgotten, even as keyed hashes.
update audit_erasures set request_index = null
where request_index is not null and erased_at < now() - interval '30 days'
