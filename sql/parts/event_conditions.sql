      -- The filters of the timeline and of exports; one that is not set folds away.
      and (%(event_type)s::text is null or event_type = %(event_type)s)
      and (%(entity_type)s::text is null or entity_type = %(entity_type)s)
      and (%(entity_ids)s::text[] is null or entity_id = any (%(entity_ids)s))
      and (%(actor_ref)s::uuid is null or actor_ref = %(actor_ref)s)
      and (%(outcome)s::text is null or outcome = %(outcome)s)
      and (%(ip_index)s::bytea is null or substring(ip_index for length(%(ip_index)s)) = %(ip_index)s)
      and (%(since)s::timestamptz is null or occurred_at >= %(since)s)
      and (%(until)s::timestamptz is null or occurred_at < %(until)s)
      -- Who read what would drown what happened.
      and (%(with_accesses)s::boolean or not audit_is_access(event_type, entity_type))
      -- The pieces of words come first, because parsing a row's text costs a hundred times as much. The planner takes
      -- half of all rows to pass a coalesce; with its own guess of very few it would parse every row and sort.
      and (%(pieces)s::text[] is null or coalesce(lower(convert_from(entry, 'UTF8')) like all (%(pieces)s), false))
      and (%(q)s::text is null or coalesce(
              -- include event_words
              @@ plainto_tsquery('simple', regexp_replace(
                  %(q)s, '[-.:/_@#$%%&=+?!"''(){}\[\],;<>|*\\]+', ' ', 'g')),
              false))
