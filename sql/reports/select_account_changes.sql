-- Changes to accounts of the session's tenant in a period, the oldest first, with how many there are.
select occurred_at, event_type, entity_id, actor_ref, seq, count(*) over ()
from audit_logs
where entity_type = 'audit_account' and event_type = any (%(types)s)
  and occurred_at >= %(since)s and occurred_at < %(until)s
order by seq limit %(limit)s
