-- A tenant's models of a kind made by one version of the code and not put aside, newest first.
select m.model_id, encode(m.artefact_digest, 'hex'), m.training_rows, m.parameters ->> 'training_digest',
       m.training_last_seq
from audit_ml_models m
where m.tenant_id = %(tenant_id)s and m.kind = %(kind)s and m.code_version = %(code_version)s
  and coalesce((select d.used from audit_model_decisions d
                where d.tenant_id = m.tenant_id and d.model_id = m.model_id order by d.decision_id desc limit 1), true)
order by m.trained_at desc, m.training_rows desc
