-- What matches, counted by one thing, in the order of a ranking; events without that thing are in no group.
, valued as (
    select case %(group)s
               when 'actor' then actor_ref::text
               when 'event_type' then event_type
               when 'entity' then entity_id
               when 'network' then encode(substring(ip_index for 8), 'hex')
               when 'outcome' then outcome
               when 'day' then to_char(occurred_at at time zone %(zone)s, 'YYYY-MM-DD')
               when 'hour' then to_char(occurred_at at time zone %(zone)s, 'HH24') end as value
    from matching
)
select value, count(*) as events from valued where value is not null group by value
order by case when %(fewest)s::boolean then count(*) else -count(*) end, value collate "C"
limit %(top)s
