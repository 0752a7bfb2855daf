-- Anomalies of a tenant by the UTC day on which they were detected, and how many of them are grave.
select (detected_at at time zone 'UTC')::date, count(*), count(*) filter (where severity in ('critical', 'high'))
from audit_anomalies
where tenant_id = %(tenant_id)s and detected_at >= %(since)s and detected_at < %(until)s
group by 1
