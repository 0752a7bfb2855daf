-- What classifiers say of some events, which need not be in the database.
select t.seq, e.category, e.risk
from audit_event_texts t
join audit_embedding_models m on m.tenant_id = t.tenant_id and m.in_use
join audit_embeddings e on e.tenant_id = t.tenant_id and e.text_hash = t.text_hash and e.model = m.model
where t.tenant_id = %(tenant_id)s and t.seq = any (%(seqs)s)
