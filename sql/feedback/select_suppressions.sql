-- The suppressions of the session's tenant, newest first, with how many anomalies each covered; one alone by its id.
select s.suppression_id, s.actor_ref, s.event_type, s.entity_type, s.entity_id, s.network_index, s.reason, s.placed_by,
       s.placed_at, s.ends_at, s.ended_by, s.ended_at,
       (select count(*) from audit_anomalies a where a.suppression_id = s.suppression_id) as suppressed
from audit_suppressions s
where %(suppression_id)s::uuid is null or s.suppression_id = %(suppression_id)s
order by s.placed_at desc, s.suppression_id
