-- How many anomalies of the current tenant a question has on all of its pages, and how many of them are suppressed.
select count(*), count(*) filter (where suppression_id is not null)
from audit_anomalies
where (%(actor_ref)s::uuid is null or actor_ref = %(actor_ref)s)
  and (%(severity)s::text is null or severity = %(severity)s)
  and (%(verdict)s::text is null or coalesce(verdict, 'none') = %(verdict)s)
  and (%(incident_id)s::uuid is null or incident_id = %(incident_id)s)
  and (%(min_score)s::double precision is null or score >= %(min_score)s)
  and (%(suppressed)s::boolean is null or (suppression_id is not null) = %(suppressed)s)
  and (%(since)s::timestamptz is null or occurred_at >= %(since)s)
  and (%(until)s::timestamptz is null or occurred_at < %(until)s)
