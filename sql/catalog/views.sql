-- Views of the analysts' catalog above the datasets of the lake. The line before each becomes its comment.
-- Day, hour and weekday come from whole microseconds: a time zone's calendar costs ten times as much.

-- events: One row per event of the ledger, with the day, hour and weekday (UTC) of occurred_at.
create view events as
select tenant_id, seq, occurred_at, make_timestamp(epoch_us(occurred_at))::date as day,
       hour(make_timestamp(epoch_us(occurred_at))) as hour, isodow(make_timestamp(epoch_us(occurred_at))) as weekday,
       recorded_at, event_id, actor_ref, event_type, entity_type, entity_id, outcome, ip_index[1:16] as network,
       ip_index, user_agent, details, row_hash
from raw_events;

-- scored_events: One row per event with its score and tags beside it: a join over the history, slower than events.
create view scored_events as
select e.*, s.score, t.category, t.risk
from events e
left join event_scores s on s.tenant_id = e.tenant_id and s.seq = e.seq
left join event_tags t on t.tenant_id = e.tenant_id and t.seq = e.seq;

-- daily_activity: Events, actors and unsuccessful events per tenant and UTC day of occurred_at.
create view daily_activity as
select tenant_id, day, count(*) as events, count(distinct actor_ref) as actors,
       count(*) filter (where outcome in ('failure', 'denied')) as unsuccessful
from events
group by all;

-- actors: One row per actor of a tenant, by reference: who it is, the API tells those who may know.
create view actors as
select tenant_id, actor_ref, min(occurred_at) as first_seen, max(occurred_at) as last_seen, count(*) as events,
       count(*) filter (where outcome in ('failure', 'denied')) as unsuccessful, count(distinct event_type) as event_types,
       count(distinct network) as networks, quantile_disc(hour, 0.1) as usual_from, quantile_disc(hour, 0.9) as usual_until
from events
where actor_ref is not null
group by all;
