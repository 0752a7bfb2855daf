-- All models, with the columns of the lake's copy in its order.
select tenant_id::text, model_id, kind, encode(artefact_digest, 'hex'), artefact_path, training_rows, training_from,
       training_to, encode(training_root, 'hex'), code_version, metrics::text, trained_at
from audit_ml_models order by tenant_id, trained_at, model_id
