-- A tenant's models of a kind made by one version of the code, newest first.
select model_id, encode(artefact_digest, 'hex'), training_rows, parameters ->> 'training_digest'
from audit_ml_models
where tenant_id = %(tenant_id)s and kind = %(kind)s and code_version = %(code_version)s
order by trained_at desc, training_rows desc
