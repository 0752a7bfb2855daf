-- What the detector said of one event.
select anomaly_id, score, severity, reasons, model_id, detected_at, verdict
from audit_anomalies
where seq = %(seq)s
