-- Texts of a tenant's events that have no vector of a model.
select distinct on (e.text_hash) e.text_hash, e.text from audit_embeddings e
where e.tenant_id = %(tenant_id)s
  and not exists (select from audit_embeddings own
                  where own.tenant_id = e.tenant_id and own.model = %(model)s and own.text_hash = e.text_hash
                    and own.embedding is not null)
  and exists (select from audit_event_texts t where t.tenant_id = e.tenant_id and t.text_hash = e.text_hash)
order by e.text_hash
