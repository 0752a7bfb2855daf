-- Views of the analysts' catalog above the datasets of the lake. The line before each becomes its comment.

-- events: One row per event with its score and tags beside it; details as JSON.
create view events as
select e.tenant_id, e.seq, e.occurred_at, e.recorded_at, e.event_id, e.actor_ref, e.event_type, e.entity_type,
       e.entity_id, e.outcome, t.category, t.risk, s.score, e.ip_index[1:16] as network, e.user_agent,
       e.details::json as details, e.row_hash
from raw_events e
left join event_scores s on s.tenant_id = e.tenant_id and s.seq = e.seq
left join event_tags t on t.tenant_id = e.tenant_id and t.seq = e.seq;

-- daily_activity: Events, actors and unsuccessful events per tenant and UTC day of occurred_at.
create view daily_activity as
select tenant_id, (occurred_at at time zone 'UTC')::date as day, count(*) as events, count(distinct actor_ref) as actors,
       count(*) filter (where outcome in ('failure', 'denied')) as unsuccessful
from raw_events
group by all;
