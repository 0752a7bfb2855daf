-- The models that scored the given events, and the classifiers in use.
select kind, encode(artefact_digest, 'hex'), training_from, training_to, training_rows, metrics
from audit_ml_models m
where tenant_id = %(tenant_id)s
  and (model_id = any (%(used)s)
       or kind <> 'anomaly_detector'
          and trained_at = (select max(trained_at) from audit_ml_models n
                            where n.tenant_id = m.tenant_id and n.kind = m.kind))
order by kind, training_rows
