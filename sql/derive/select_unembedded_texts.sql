-- Texts that only another model has embedded.
select distinct on (e.text_hash) e.text_hash, e.text from audit_embeddings e
where e.tenant_id = %(tenant_id)s and e.model <> %(model)s
  and not exists (select from audit_embeddings same
                  where same.tenant_id = e.tenant_id and same.model = %(model)s and same.text_hash = e.text_hash)
