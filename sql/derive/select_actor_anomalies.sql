-- Everything odd about one actor of a tenant, in the order of time; null is all that no known actor did.
select anomaly_id, seq, encode(row_hash, 'hex') as row_hash, occurred_at, event_type, meaning, risk, score, severity,
       reasons, suppression_id is not null as suppressed, incident_id
from audit_anomalies
where tenant_id = %(tenant_id)s and actor_ref is not distinct from %(actor_ref)s::uuid
order by occurred_at, seq
