-- The anomalies of one incident of the current tenant, in the order of time.
select anomaly_id, seq, event_id, row_hash, occurred_at, actor_ref, event_type, score, severity, meaning, risk, reasons,
       compared_with, model_id, code_version, incident_id, suppression_id, detected_at, verdict, verdict_by, verdict_at
from audit_anomalies where incident_id = %(incident_id)s
order by occurred_at, seq
