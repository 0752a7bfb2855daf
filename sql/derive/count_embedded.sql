-- Events per tenant whose text has a vector of the model that the tenant uses.
select t.tenant_id, count(*) from audit_event_texts t
join audit_embedding_models m on m.tenant_id = t.tenant_id and m.in_use
join audit_embeddings e on e.tenant_id = t.tenant_id and e.text_hash = t.text_hash and e.model = m.model
where e.embedding is not null
group by t.tenant_id
