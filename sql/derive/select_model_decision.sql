-- The newest decision about a model.
select used, reason, compared_with from audit_model_decisions
where tenant_id = %(tenant_id)s and model_id = %(model_id)s order by decision_id desc limit 1
