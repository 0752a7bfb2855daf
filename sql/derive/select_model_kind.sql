-- Whose model this is, of which kind, and the digest of its artefact.
select tenant_id, kind, encode(artefact_digest, 'hex') from audit_ml_models
where model_id = %(model_id)s and (%(tenant_id)s::uuid is null or tenant_id = %(tenant_id)s)
