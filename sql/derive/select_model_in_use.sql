-- The model of a kind that the newest decision put into use and no later one put aside.
select m.model_id, encode(m.artefact_digest, 'hex'), m.training_rows, m.parameters ->> 'training_digest',
       m.training_last_seq
from audit_model_decisions d
join audit_ml_models m on m.tenant_id = d.tenant_id and m.model_id = d.model_id
where d.tenant_id = %(tenant_id)s and d.kind = %(kind)s and d.used
  and not exists (select from audit_model_decisions l
                  where l.tenant_id = d.tenant_id and l.model_id = d.model_id and l.decision_id > d.decision_id
                    and not l.used)
order by d.decision_id desc limit 1
