-- Which text each of these events renders to now.
update audit_event_texts t set text_hash = g.text_hash
from unnest(%(seqs)s::bigint[], %(hashes)s::bytea[]) as g (seq, text_hash)
where t.tenant_id = %(tenant_id)s and t.seq = g.seq and t.text_hash <> g.text_hash
