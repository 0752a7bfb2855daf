-- Signatures of the tenant, the oldest first: of one record, of all records of a kind, or made within a period.
select signature_id, record_kind, record_id, record_hash, signer_ref, meaning, signed_at, seq, row_hash
from audit_signatures
where (%(record_kind)s::text is null or record_kind = %(record_kind)s)
  and (%(record_ids)s::text[] is null or record_id = any (%(record_ids)s))
  and (%(since)s::timestamptz is null or signed_at >= %(since)s)
  and (%(until)s::timestamptz is null or signed_at < %(until)s)
order by seq
limit %(limit)s
