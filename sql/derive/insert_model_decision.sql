-- What was decided about a model, and why.
insert into audit_model_decisions (
    tenant_id, model_id, kind, used, reason, decided_by, compared_with, figures, run_id)
values (%(tenant_id)s, %(model_id)s, %(kind)s, %(used)s, %(reason)s, %(decided_by)s, %(compared_with)s,
        %(figures)s::jsonb, %(run_id)s)
returning decision_id
