-- One batch of the current tenant's events that match, within a window of seq, in the order asked for. The parameters go
-- into it as literals, because ADBC streams by binary COPY only what has none; so unset filters fold away, and the window
-- keeps one statement from searching the whole ledger.
with matching as not materialized (
    select seq, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash, occurred_at, actor_ref, event_type,
           entity_type, entity_id, outcome, ip_index, user_agent
    from audit_logs
    where seq between %(first)s and %(last)s
      and (%(event_ids)s::text[] is null or event_id = any (%(event_ids)s))
    -- include event_conditions
)
(select seq, recorded_at, event_id, occurred_at, actor_ref::text as actor_ref, event_type, entity_type, entity_id, outcome,
        ip_index, user_agent, entry, entry_hash, prev_hash, row_hash
 from matching where not %(newest)s::boolean order by seq limit %(limit)s)
union all
(select seq, recorded_at, event_id, occurred_at, actor_ref::text, event_type, entity_type, entity_id, outcome,
        ip_index, user_agent, entry, entry_hash, prev_hash, row_hash
 from matching where %(newest)s::boolean order by seq desc limit %(limit)s)
