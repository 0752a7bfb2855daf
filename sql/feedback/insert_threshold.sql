-- A change of the alerting threshold, in the transaction of the event that says so.
insert into audit_alert_thresholds (tenant_id, threshold, previous, cause, explanation, figures, changed_by)
values (%(tenant_id)s, %(threshold)s, %(previous)s, %(cause)s, %(explanation)s, %(figures)s, %(changed_by)s)
