-- A tenant's anomalies as a report prints them.
select occurred_at, severity, score, event_type, actor_ref::text, reasons, seq, encode(row_hash, 'hex'), model_id
from audit_anomalies where tenant_id = %(tenant_id)s order by seq
