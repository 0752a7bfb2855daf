-- Texts of a tenant's events that have no vector of a model.
select distinct on (e.text_hash) e.text_hash, e.text from audit_embeddings e
where e.tenant_id = %(tenant_id)s
  and not exists (select from audit_embeddings own
                  where own.tenant_id = e.tenant_id and own.model = %(model)s and own.text_hash = e.text_hash
                    and own.embedding is not null)
  -- One look into the index for each of the few: as `exists` it may be planned as a pass over all events.
  and (select t.seq from audit_event_texts t
       where t.tenant_id = e.tenant_id and t.text_hash = e.text_hash limit 1) is not null
order by e.text_hash
