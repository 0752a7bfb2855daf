-- What kinds of event came since a seq; the events that say who read what are none of them.
select event_type, entity_type, outcome
from audit_logs
where seq >= %(seq)s and not audit_is_access(event_type, entity_type)
group by event_type, entity_type, outcome
