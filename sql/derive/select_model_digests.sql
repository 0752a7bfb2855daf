-- The full digests behind model ids.
select model_id, encode(artefact_digest, 'hex') from audit_ml_models
where tenant_id = %(tenant_id)s and model_id = any (%(model_ids)s)
