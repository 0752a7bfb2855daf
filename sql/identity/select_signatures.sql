-- Signatures of the tenant, the oldest first: of one record, of all records of a kind, or of a period. To a period belong
-- those made in it, and those of its events and reviews whenever they were made; which of its events are in the archive
-- alone is handed in.
select tenant_id, signature_id, record_kind, record_id, record_hash, signer_ref, meaning, signed_at, seq, row_hash
from audit_signatures s
where (%(record_kind)s::text is null or record_kind = %(record_kind)s)
  and (%(record_ids)s::text[] is null or record_id = any (%(record_ids)s))
  and (%(since)s::timestamptz is null
       or (signed_at >= %(since)s and signed_at < %(until)s)
       or (record_kind = 'event' and record_id = any (%(archived)s::text[]))
       or (record_kind = 'event'
           and exists (select from audit_logs l
                       where l.event_id = s.record_id and l.occurred_at >= %(since)s and l.occurred_at < %(until)s))
       or (record_kind = 'review'
           and record_id >= to_char(%(since)s::timestamptz at time zone 'UTC', 'YYYY-MM-DD')
           and record_id < to_char(%(until)s::timestamptz at time zone 'UTC', 'YYYY-MM-DD')))
order by seq
limit %(limit)s
