-- Events per tenant whose text has a vector of this model.
select t.tenant_id, count(*) from audit_event_texts t
join audit_embeddings e on e.tenant_id = t.tenant_id and e.text_hash = t.text_hash and e.model = %(model)s
group by t.tenant_id
