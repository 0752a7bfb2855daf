-- What are the anomalies about: which reason weighs most, in which kinds of event, and how much of these kinds is odd?
-- Reading: a reason that marks much of a kind is a candidate for a suppression; a high score on an event that succeeded
-- is what to look at first.
-- Columns: reason (the weightiest feature), event_type, anomalies, actors, succeeded, highest_score, last_at, share (of
-- all events of the kind).
with kinds as (
    select event_type, count(*) as every from events group by event_type
)
select a.reasons -> 0 ->> 'feature' as reason, e.event_type, count(*) as anomalies, count(distinct e.actor_ref) as actors,
       count(*) filter (where e.outcome = 'success') as succeeded, max(a.score) as highest_score,
       max(e.occurred_at) as last_at, 1.0 * count(*) / max(k.every) as share
from anomalies a
join events e on e.tenant_id = a.tenant_id and e.seq = a.seq
join kinds k on k.event_type = e.event_type
group by 1, 2
order by anomalies desc, reason, e.event_type
