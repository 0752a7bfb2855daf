-- What did somebody who is known for two weeks do for the first time in the trail's last three days?
-- Reading: new duties begin like this, and so does somebody else under the actor's name. Several first times of one
-- actor on one day deserve a look.
-- Columns: actor_ref, event_type, first_at, events (of this kind since), known_since (the actor's first event).
with pairs as (
    select actor_ref, event_type, min(occurred_at) as first_at, count(*) as events
    from events
    where actor_ref is not null
    group by actor_ref, event_type
), known as (
    select actor_ref, min(first_at) as known_since, (select max(first_at) from pairs) as trail_end
    from pairs
    group by actor_ref
)
select p.actor_ref, p.event_type, p.first_at, p.events, k.known_since
from pairs p
join known k on k.actor_ref = p.actor_ref
where p.first_at >= k.trail_end - interval '3 days' and k.known_since < k.trail_end - interval '14 days'
order by p.first_at desc, p.actor_ref, p.event_type
