-- How many of the current tenant's events match, counted no further than a limit; the filters are those of select_events.
select count(*) from (
    select from audit_logs
    where seq between %(first)s and %(last)s
      and (%(event_ids)s::text[] is null or event_id = any (%(event_ids)s))
      and (%(event_type)s::text is null or event_type = %(event_type)s)
      and (%(entity_type)s::text is null or entity_type = %(entity_type)s)
      and (%(entity_ids)s::text[] is null or entity_id = any (%(entity_ids)s))
      and (%(actor_ref)s::uuid is null or actor_ref = %(actor_ref)s)
      and (%(outcome)s::text is null or outcome = %(outcome)s)
      and (%(ip_index)s::bytea is null or substring(ip_index for length(%(ip_index)s)) = %(ip_index)s)
      and (%(since)s::timestamptz is null or occurred_at >= %(since)s)
      and (%(until)s::timestamptz is null or occurred_at < %(until)s)
      and (%(with_accesses)s::boolean or not audit_is_access(event_type, entity_type))
      -- Words of the columns and of details, without sealed texts and JSON's escapes; punctuation only separates. The
      -- pieces of words come first, because parsing a row's text costs a hundred times as much. The planner takes half
      -- of all rows to pass a coalesce; with its own guess of very few it would parse every row and sort.
      and (%(pieces)s::text[] is null or coalesce(lower(convert_from(entry, 'UTF8')) like all (%(pieces)s), false))
      and (%(q)s::text is null or coalesce(
              to_tsvector('simple', left(regexp_replace(
                  concat_ws(' ', event_type, entity_type, entity_id, outcome, user_agent,
                            substring(convert_from(entry, 'UTF8') from '"details":(.*),"entity_id":')) collate "C",
                  'v1\.[\w-]{40,}\.[\w-]{43}|\\u[0-9a-f]{4}|\\.|[-.:/_@#$%%&=+?!"''(){}\[\],;<>|*]+', ' ', 'g'), 100000))
              @@ plainto_tsquery('simple', regexp_replace(
                  %(q)s, '[-.:/_@#$%%&=+?!"''(){}\[\],;<>|*\\]+', ' ', 'g')),
              false))
    limit %(limit)s
) as matching
