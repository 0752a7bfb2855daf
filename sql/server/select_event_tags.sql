-- Category and risk of one event, by the text it renders to; the newest embedding model speaks.
select e.category, e.category_confidence, e.risk, e.risk_confidence
from audit_event_texts t
join audit_embeddings e on e.tenant_id = t.tenant_id and e.text_hash = t.text_hash
where t.seq = %(seq)s
order by e.created_at desc
limit 1
