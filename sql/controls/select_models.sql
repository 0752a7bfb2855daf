-- The models of a tenant, each with its kind and digest.
select model_id, kind, encode(artefact_digest, 'hex') from audit_ml_models where tenant_id = %(tenant_id)s
order by model_id
