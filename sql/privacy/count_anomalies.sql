-- The anomalies of a person, as one digest.
select count(*), sha256(convert_to(coalesce(string_agg(anomaly_id || ' ' || reasons, E'\n' order by anomaly_id), ''), 'UTF8'))
from audit_anomalies where tenant_id = %(tenant_id)s and actor_ref = %(actor_ref)s
