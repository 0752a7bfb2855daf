-- How many events have no text yet, up to a number; the events that say who read what need none.
select count(*) from (
    select from audit_logs where seq >= %(seq)s and not audit_is_access(event_type, entity_type) limit %(most)s
) as untold
