-- One page of the current tenant's events by seq, one row more than the page to tell whether there is another. Unset
-- filters fold away when the statement is planned for its parameters, so a set one still finds its index. The page ends
-- early when its entries grow beyond max_bytes; sizes are read without fetching the entries.
with matching as not materialized (
    select tenant_id, seq, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash, occurred_at, actor_ref,
           event_type, entity_type, entity_id, outcome, ip_address, ip_index, user_agent
    from audit_logs
    where (%(event_type)s::text is null or event_type = %(event_type)s)
      and (%(entity_type)s::text is null or entity_type = %(entity_type)s)
      and (%(entity_ids)s::text[] is null or entity_id = any (%(entity_ids)s))
      and (%(actor_ref)s::uuid is null or actor_ref = %(actor_ref)s)
      and (%(outcome)s::text is null or outcome = %(outcome)s)
      and (%(ip_index)s::bytea is null or substring(ip_index for length(%(ip_index)s)) = %(ip_index)s)
      and (%(since)s::timestamptz is null or occurred_at >= %(since)s)
      and (%(until)s::timestamptz is null or occurred_at < %(until)s)
      -- Who read what would drown what happened.
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
), page as (
    (select * from matching
     where %(newest)s::boolean and (%(cursor)s::bigint is null or seq < %(cursor)s)
     order by seq desc limit %(limit)s + 1)
    union all
    (select * from matching
     where not %(newest)s::boolean and (%(cursor)s::bigint is null or seq > %(cursor)s)
     order by seq limit %(limit)s + 1)
), sized as (
    select *, count(*) over () as found, row_number() over in_order as place,
           sum(octet_length(entry)) over in_order as bytes
    from page
    window in_order as (order by case when %(newest)s::boolean then -seq else seq end rows unbounded preceding)
)
select tenant_id, seq, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash, occurred_at, actor_ref, event_type,
       entity_type, entity_id, outcome, ip_address, ip_index, user_agent, found
from sized
where place <= %(limit)s and (place = 1 or bytes <= %(max_bytes)s)
order by place
