-- All about what matches, where that is not much: how many, from when to when, one page of seqs by seq or by time, and the
-- groups of a ranking. One pass over the covering index; of more than `most` events it tells `most` + 1 and is no answer.
, few as materialized (
    select seq, occurred_at,
           case %(group)s::text
               when 'actor' then actor_ref::text
               when 'event_type' then event_type
               when 'outcome' then outcome
               when 'entity' then entity_id
               when 'network' then encode(substring(ip_index for 8), 'hex')
               when 'day' then to_char(occurred_at at time zone %(zone)s, 'YYYY-MM-DD')
               when 'hour' then to_char(occurred_at at time zone %(zone)s, 'HH24') end as value
    from matching limit %(most)s + 1
), grouped as (
    select value, count(*) as events from few where value is not null group by value
), ranked as (
    select value, events from grouped
    order by case when %(fewest)s::boolean then events else -events end, value collate "C" limit %(top)s
), page as (
    (select seq, -seq as place from few
     where %(by)s = 'seq' and (%(cursor)s::bigint is null or seq < %(cursor)s) order by seq desc limit %(limit)s + 1)
    union all
    (select seq, row_number() over (order by occurred_at, seq) from few
     where %(by)s = 'first' order by occurred_at, seq limit %(limit)s)
    union all
    (select seq, row_number() over (order by occurred_at desc, seq desc) from few
     where %(by)s = 'last' order by occurred_at desc, seq desc limit %(limit)s)
)
select (select count(*) from few), (select min(occurred_at) from few), (select max(occurred_at) from few),
       (select array_agg(seq order by place) from page), (select array_agg(array[value, events::text]) from ranked),
       (select count(*) from grouped)
