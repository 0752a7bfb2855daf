-- Who was denied something and, at the next try within a day, allowed just that on the same thing?
-- Reading: somebody asked for a permission and got it, or found a way around. The grant between the two should be in
-- the trail as well.
-- Columns: actor_ref, event_type, entity_type, entity_id, denied_at, allowed_at.
with tries as (
    select actor_ref, event_type, entity_type, entity_id, outcome, occurred_at,
           lag(outcome) over same as outcome_before, lag(occurred_at) over same as tried_before
    from events
    where outcome in ('denied', 'success') and actor_ref is not null
    window same as (partition by actor_ref, event_type, entity_type, entity_id order by occurred_at, seq)
)
select actor_ref, event_type, entity_type, entity_id, tried_before as denied_at, occurred_at as allowed_at
from tries
where outcome = 'success' and outcome_before = 'denied' and occurred_at - tried_before <= interval '1 day'
order by allowed_at, actor_ref, event_type, entity_id
