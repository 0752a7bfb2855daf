-- The texts that events point to, as one digest.
select count(*), sha256(coalesce(string_agg(int8send(seq) || text_hash, ''::bytea order by seq), ''::bytea))
from audit_event_texts where tenant_id = %(tenant_id)s and seq = any (%(seqs)s)
