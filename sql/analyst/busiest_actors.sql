-- Who does most, how varied is it, and how much of it fails?
-- Reading: services come first and are no news; a person among them, or a service that fails often, is.
-- Columns: actor_ref, events, event_types (different ones), unsuccessful, first_seen, last_seen.
select actor_ref, count(*) as events, count(distinct event_type) as event_types,
       count(*) filter (where outcome in ('failure', 'denied')) as unsuccessful,
       min(occurred_at) as first_seen, max(occurred_at) as last_seen
from events
where actor_ref is not null
group by actor_ref
order by events desc, actor_ref
limit 20
