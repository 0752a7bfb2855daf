-- Category and risk of one event, by the text it renders to, under the embedding model in use.
select e.category, e.category_confidence, e.risk, e.risk_confidence
from audit_event_texts t
join audit_embedding_models m on m.tenant_id = t.tenant_id and m.in_use
join audit_embeddings e on e.tenant_id = t.tenant_id and e.text_hash = t.text_hash and e.model = m.model
where t.seq = %(seq)s
