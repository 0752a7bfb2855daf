-- One anomaly of the current tenant.
select anomaly_id, seq, event_id, row_hash, occurred_at, actor_ref, event_type, score, severity, meaning, risk, reasons,
       compared_with, model_id, code_version, incident_id, suppression_id, detected_at, verdict, verdict_by, verdict_at
from audit_anomalies where anomaly_id = %(anomaly_id)s
