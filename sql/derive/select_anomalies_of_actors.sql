-- Everything odd about some actors of a tenant, in the order of time; null is all that no known actor did. Of all actors at
-- once: `is not distinct from` uses no index, so that each actor cost all anomalies of the tenant.
select actor_ref, anomaly_id, seq, encode(row_hash, 'hex') as row_hash, occurred_at, event_type, meaning, risk, score,
       severity, reasons, suppression_id is not null as suppressed, incident_id
from audit_anomalies
where tenant_id = %(tenant_id)s
  and (actor_ref = any(%(actors)s::uuid[])
       or (actor_ref is null and array_position(%(actors)s::uuid[], null) is not null))
order by occurred_at, seq
