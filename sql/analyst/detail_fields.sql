-- Which fields do the details of each kind of event have, and how often are they there?
-- Reading: the map of what can be asked of details; a field that is there seldom tells of another version of a source.
-- Columns: event_type, field, events (with this field), share (of the events of the kind).
with fields as (
    select event_type, unnest(json_keys(details)) as field
    from events
), kinds as (
    select event_type, count(*) as every from events group by event_type
)
select f.event_type, f.field, count(*) as events, 1.0 * count(*) / max(k.every) as share
from fields f
join kinds k on k.event_type = f.event_type
group by f.event_type, f.field
order by f.event_type, events desc, f.field
