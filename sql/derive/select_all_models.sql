-- Every model with its newest decision, newest first; of one tenant, or of all.
select m.tenant_id, m.model_id, m.training_rows, m.training_tree_size, m.trained_at, d.used, d.reason, d.decided_by
from audit_ml_models m
left join lateral (
    select used, reason, decided_by from audit_model_decisions
    where tenant_id = m.tenant_id and model_id = m.model_id order by decision_id desc limit 1) as d on true
where %(tenant_id)s::uuid is null or m.tenant_id = %(tenant_id)s
order by m.tenant_id, m.kind, m.trained_at desc, m.model_id
