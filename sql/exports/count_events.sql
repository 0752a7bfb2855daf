-- How many of the current tenant's events match, counted no further than a limit.
select count(*) from (
    select from audit_logs
    where seq between %(first)s and %(last)s
      and (%(event_ids)s::text[] is null or event_id = any (%(event_ids)s))
    -- include event_conditions
    limit %(limit)s
) as matching
