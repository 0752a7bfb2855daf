-- One page of the current tenant's incidents by the event they began with, one row more than the page.
with matching as not materialized (
    select incident_id, founding_seq, state, merged_into, actor_ref, first_at, last_at, anomalies, suppressed, score, severity,
           title, meanings, story, opened_at, changed_at
    from audit_incidents
    where state = %(state)s
      and (%(actor_ref)s::uuid is null or actor_ref = %(actor_ref)s)
      and (%(severity)s::text is null or severity = %(severity)s)
      and (%(min_score)s::double precision is null or score >= %(min_score)s)
      and (%(since)s::timestamptz is null or last_at >= %(since)s)
      and (%(until)s::timestamptz is null or first_at < %(until)s)
)
(select * from matching
 where %(newest)s::boolean and (%(cursor)s::bigint is null or founding_seq < %(cursor)s)
 order by founding_seq desc limit %(limit)s + 1)
union all
(select * from matching
 where not %(newest)s::boolean and (%(cursor)s::bigint is null or founding_seq > %(cursor)s)
 order by founding_seq limit %(limit)s + 1)
