-- The session's tenant's reports that are there, newest first: of each file the newest record.
select * from (
    select distinct on (output_kind, output_key) lineage_id, output_kind, output_key,
           encode(output_digest, 'hex') as sha256, inputs, code_version, run_id, recorded_at
    from audit_lineage
    where output_kind = any (%(kinds)s)
    order by output_kind, output_key, lineage_id desc
) newest
where (%(sha256)s::text is null or sha256 = %(sha256)s)
  and (%(cursor)s::bigint is null or lineage_id < %(cursor)s)
  -- A file that an erasure took away leaves a record of nothing.
  and sha256 <> encode(sha256(''), 'hex')
order by lineage_id desc limit %(limit)s
