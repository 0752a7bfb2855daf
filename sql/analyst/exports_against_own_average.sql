-- On which days did somebody take out far more than on their own days before?
-- Reading: measured against the actor's own past, so that whoever exports every day is not found every day. What was
-- taken, the events of that day say.
-- Columns: actor_ref, day, exports, usual (average of the actor's days before with exports), days_before.
with days as (
    select actor_ref, day, count(*) as exports
    from events
    where actor_ref is not null
      and (event_type like '%download%' or event_type like '%export%' or event_type like '%clone%')
    group by actor_ref, day
), compared as (
    select actor_ref, day, exports, avg(exports) over before_it as usual, count(*) over before_it as days_before
    from days
    window before_it as (partition by actor_ref order by day rows between unbounded preceding and 1 preceding)
)
select actor_ref, day, exports, usual, days_before
from compared
where days_before >= 3 and exports >= 5 and exports > 3 * usual
order by exports / usual desc, actor_ref, day
