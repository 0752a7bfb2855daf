-- All anomalies, with the columns of the lake's copy in its order.
select tenant_id::text, anomaly_id::text, seq, event_id, occurred_at, actor_ref::text, event_type, score, severity,
       reasons::text, model_id, encode(row_hash, 'hex'), detected_at, verdict, meaning, compared_with::text,
       incident_id::text, suppression_id is not null
from audit_anomalies order by tenant_id, seq
