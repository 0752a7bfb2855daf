-- The anomalies and incidents of a person, as one digest.
select count(*), sha256(convert_to(coalesce(string_agg(line, E'\n' order by line), ''), 'UTF8'))
from (select anomaly_id || ' ' || reasons as line from audit_anomalies
      where tenant_id = %(tenant_id)s and actor_ref = %(actor_ref)s
      union all
      select incident_id || ' ' || story from audit_incidents
      where tenant_id = %(tenant_id)s and actor_ref = %(actor_ref)s) as lines
