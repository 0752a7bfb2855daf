-- What one run decided about models.
select tenant_id, model_id, used, reason from audit_model_decisions where run_id = %(run_id)s order by decision_id
