-- The changes of a tenant's alerting threshold, newest first.
select threshold, previous, cause, explanation, figures, changed_by, changed_at
from audit_alert_thresholds where tenant_id = %(tenant_id)s
order by changed_at desc, change_id limit %(limit)s
