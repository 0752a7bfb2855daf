-- Texts and vectors that no event points to any more.
delete from audit_embeddings e
where e.tenant_id = %(tenant_id)s
  and not exists (select from audit_event_texts t where t.tenant_id = e.tenant_id and t.text_hash = e.text_hash)
