-- Which incident anomalies belong to.
update audit_anomalies a set incident_id = g.incident_id
from unnest(%(anomalies)s::uuid[], %(incidents)s::uuid[]) as g (anomaly_id, incident_id)
where a.tenant_id = %(tenant_id)s and a.anomaly_id = g.anomaly_id and a.incident_id is distinct from g.incident_id
