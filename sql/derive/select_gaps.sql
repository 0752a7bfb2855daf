-- Per tenant with enough recent rows: when the last one was recorded, and the longest time between two of them. That
-- somebody reads is no sign that anything is still being sent.
select tenant_id, max(recorded_at), max(gap)
from (select tenant_id, recorded_at,
             recorded_at - lag(recorded_at) over (partition by tenant_id order by seq) as gap
      from audit_logs where recorded_at >= %(since)s and not audit_is_access(event_type, entity_type)) as recent
group by tenant_id
having count(*) >= %(least)s
