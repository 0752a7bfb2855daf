-- Who works at night or at the weekend, though most of their work lies in office hours (weekdays, 7 to 19 UTC)?
-- Reading: a service has no night, so it is left out by its share; of a person, ask what the nights were for.
-- Columns: actor_ref, events, after_hours, share (of events after hours), days (with such events).
select actor_ref, count(*) as events, count(*) filter (where weekday > 5 or hour not between 7 and 18) as after_hours,
       1.0 * count(*) filter (where weekday > 5 or hour not between 7 and 18) / count(*) as share,
       count(distinct day) filter (where weekday > 5 or hour not between 7 and 18) as days
from events
where actor_ref is not null
group by actor_ref
having count(*) filter (where weekday > 5 or hour not between 7 and 18) between 5 and 0.25 * count(*)
order by after_hours desc, actor_ref
