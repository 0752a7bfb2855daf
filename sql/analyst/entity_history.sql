-- What happened to the thing that most attempts failed on?
-- Reading: from top to bottom, its life as the ledger has it; each row_hash can be proved with the evidence command.
-- For another thing, put its type and id in place of the first query.
-- Columns: seq, occurred_at, actor_ref, event_type, outcome, details, row_hash.
with thing as (
    select entity_type, entity_id
    from events
    where outcome in ('failure', 'denied')
    group by entity_type, entity_id
    order by count(*) desc, entity_type, entity_id
    limit 1
)
select e.seq, e.occurred_at, e.actor_ref, e.event_type, e.outcome, e.details, e.row_hash
from events e
join thing t on t.entity_type = e.entity_type and t.entity_id = e.entity_id
order by e.occurred_at, e.seq
