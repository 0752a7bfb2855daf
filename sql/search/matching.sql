-- The current tenant's events that fulfil all conditions; other queries of this folder go on from here. Unset conditions
-- fold away when the statement is planned for its parameters. What counts alone reads the covering index alone.
with matching as not materialized (
    select tenant_id, seq, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash, occurred_at, actor_ref,
           event_type, entity_type, entity_id, outcome, ip_address, ip_index, user_agent
    from audit_logs
    where (%(since)s::timestamptz is null or occurred_at >= %(since)s)
      and (%(until)s::timestamptz is null or occurred_at < %(until)s)
      and (%(before_seq)s::bigint is null or seq < %(before_seq)s)
      and (%(event_types)s::text[] is null or event_type = any (%(event_types)s))
      and (%(not_event_types)s::text[] is null or event_type <> all (%(not_event_types)s))
      and (%(actors)s::uuid[] is null or actor_ref = any (%(actors)s))
      and (%(not_actors)s::uuid[] is null or actor_ref is null or actor_ref <> all (%(not_actors)s))
      and (%(entity_types)s::text[] is null or entity_type = any (%(entity_types)s))
      and (%(entity_ids)s::text[] is null or entity_id = any (%(entity_ids)s))
      and (%(not_entity_ids)s::text[] is null or entity_id <> all (%(not_entity_ids)s))
      and (%(outcomes)s::text[] is null or outcome = any (%(outcomes)s))
      and (%(not_outcomes)s::text[] is null or outcome is null or outcome <> all (%(not_outcomes)s))
      -- Of an address the whole index, of a network its first half.
      and (%(addresses)s::bytea[] is null and %(networks)s::bytea[] is null or ip_index = any (%(addresses)s)
           or substring(ip_index for 8) = any (%(networks)s))
      and (%(not_addresses)s::bytea[] is null or ip_index is null
           or ip_index <> all (%(not_addresses)s) and substring(ip_index for 8) <> all (%(not_addresses)s))
      and (%(hours)s::text is null or case %(hours)s
              when 'weekend' then extract(isodow from occurred_at at time zone %(zone)s) >= 6
              when 'night' then extract(hour from occurred_at at time zone %(zone)s) not between 6 and 21
              else extract(isodow from occurred_at at time zone %(zone)s) >= 6
                   or extract(hour from occurred_at at time zone %(zone)s) not between 7 and 18 end)
      -- Who read what would drown what happened.
      and (%(with_accesses)s::boolean or not audit_is_access(event_type, entity_type))
      -- As in the timeline: cheap pieces first, then words of the columns and of details.
      and (%(pieces)s::text[] is null or coalesce(lower(convert_from(entry, 'UTF8')) like all (%(pieces)s), false))
      and (%(words)s::text is null and %(phrases)s::text[] is null or coalesce(
              -- include event_words
              @@ (select string_agg('(' || asked || ')', ' & ')::tsquery from (
                      select plainto_tsquery('simple', regexp_replace(
                          %(words)s, '[-.:/_@#$%%&=+?!"''(){}\[\],;<>|*\\]+', ' ', 'g'))::text as asked
                      where %(words)s is not null
                      union all
                      select phraseto_tsquery('simple', regexp_replace(
                          phrase, '[-.:/_@#$%%&=+?!"''(){}\[\],;<>|*\\]+', ' ', 'g'))::text
                      from unnest(%(phrases)s::text[]) as phrase) as all_asked where asked <> ''),
              false))
)
