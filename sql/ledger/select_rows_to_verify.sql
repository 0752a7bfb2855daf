-- A tenant's rows of a range of sequence numbers, in chain order, as COPY: what is hashed and stored as hashes, the entry,
-- and the columns written out as the beginning and the end of the entry they must stand in (between them are the
-- details). Columns with a quote or a backslash are not escaped here: the verifier sees that and looks at those rows one
-- by one.
copy (
    select seq, recorded_at, entry_hash, prev_hash, row_hash,
           num_nonnulls(ip_address, ip_index, outcome, user_agent)::smallint,
           entry,
           convert_to('{"actor_ref":' || coalesce('"' || actor_ref || '"', 'null') || ',"details":', 'UTF8'),
           convert_to(
               ',"entity_id":"' || entity_id || '","entity_type":"' || entity_type || '","event_id":"' || event_id
               || '","event_type":"' || event_type
               || '","ip_address":' || coalesce('"' || ip_address || '"', 'null')
               || ',"ip_index":' || coalesce('"' || encode(ip_index, 'hex') || '"', 'null')
               || ',"occurred_at":"'
               -- to_char shows no era: a year before Christ must not pass for the one after.
               || case when occurred_at >= '0001-01-01T00:00:00Z'
                       then to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') end
               || '","outcome":' || coalesce('"' || outcome || '"', 'null')
               || ',"user_agent":' || coalesce('"' || user_agent || '"', 'null') || ',"v":1}', 'UTF8')
    from audit_logs
    where tenant_id = %(tenant_id)s and seq >= %(first_seq)s and seq < %(end_seq)s
    order by seq
) to stdout (format binary)
