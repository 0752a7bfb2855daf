-- Which text each new event renders to.
insert into audit_event_texts (tenant_id, seq, text_hash)
select %(tenant_id)s, g.seq, g.text_hash
from unnest(%(seqs)s::bigint[], %(hashes)s::bytea[]) as g (seq, text_hash)
