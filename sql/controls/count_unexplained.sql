-- Anomalies of a tenant, and those whose model is not in the register.
select count(*), count(*) filter (where not exists (
           select from audit_ml_models m where m.tenant_id = a.tenant_id and m.model_id = a.model_id))
from audit_anomalies a where a.tenant_id = %(tenant_id)s
