-- One anomaly with what it takes to compute it again.
select tenant_id, anomaly_id, seq, encode(row_hash, 'hex') as row_hash, score, severity, meaning, reasons, compared_with,
       model_id, code_version
from audit_anomalies where anomaly_id = %(anomaly_id)s
