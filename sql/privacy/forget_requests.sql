-- Names that erasures were asked for by are forgotten, even as keyed hashes; while an erasure is unfinished, its hash is
-- what the person's address is recognised by among the recipients of reports.
update audit_erasures set request_index = null
where request_index is not null and certificate is not null and erased_at < now() - interval '30 days'
