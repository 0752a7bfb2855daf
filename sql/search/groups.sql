-- What matches, counted by one thing, in the order of a ranking; with each line how many different things there are, and
-- all about what matches, so that one pass is enough. Events without that thing are in no group.
, valued as (
    select occurred_at,
           case %(group)s::text
               when 'actor' then actor_ref::text
               when 'event_type' then event_type
               when 'outcome' then outcome
               when 'entity' then entity_id
               when 'network' then encode(substring(ip_index for 8), 'hex')
               when 'day' then to_char(occurred_at at time zone %(zone)s, 'YYYY-MM-DD')
               when 'hour' then to_char(occurred_at at time zone %(zone)s, 'HH24') end as value
    from matching
), grouped as (
    select value, count(*) as events, min(occurred_at) as first_at, max(occurred_at) as last_at from valued group by value
), told as (
    select sum(events)::bigint as matching, min(first_at) as first_at, max(last_at) as last_at, count(value) as different
    from grouped
)
select g.value, g.events, t.different, t.matching, t.first_at, t.last_at
from told t left join grouped g on g.value is not null
order by case when %(fewest)s::boolean then g.events else -g.events end, g.value collate "C"
limit %(top)s
