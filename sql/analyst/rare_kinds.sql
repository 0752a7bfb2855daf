-- Which kinds of event did almost nobody ever do, and who did them?
-- Reading: rare is not bad, but what an intruder does in your systems is rare in them. Ask the one who did it.
-- Columns: event_type, events (of this kind, at most 5 by at most 2 actors), actor_ref, last_at.
with kinds as (
    select event_type, count(*) as events
    from events
    group by event_type
    having count(*) <= 5 and count(distinct actor_ref) <= 2
)
select k.event_type, k.events, e.actor_ref, max(e.occurred_at) as last_at
from kinds k
join events e on e.event_type = k.event_type
group by k.event_type, k.events, e.actor_ref
order by k.events, last_at desc, k.event_type
