-- The models that scored the given events, and the classifiers in use.
select kind, encode(artefact_digest, 'hex'), training_from, training_to, training_rows, metrics
from audit_ml_models m
where tenant_id = %(tenant_id)s
  and (model_id = any (%(used)s)
       or kind <> 'anomaly_detector'
          and model_id = (select d.model_id from audit_model_decisions d
                          where d.tenant_id = m.tenant_id and d.kind = m.kind and d.used
                            and not exists (select from audit_model_decisions l
                                            where l.tenant_id = d.tenant_id and l.model_id = d.model_id
                                              and l.decision_id > d.decision_id and not l.used)
                          order by d.decision_id desc limit 1))
order by kind, training_rows
