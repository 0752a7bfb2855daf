-- What matches, by when it happened: the first or the last of it.
(select tenant_id, seq, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash, occurred_at, actor_ref,
        event_type, entity_type, entity_id, outcome, ip_address, ip_index, user_agent, 1 as found
 from matching where %(newest)s::boolean order by occurred_at desc, seq desc limit %(limit)s)
union all
(select tenant_id, seq, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash, occurred_at, actor_ref,
        event_type, entity_type, entity_id, outcome, ip_address, ip_index, user_agent, 1 as found
 from matching where not %(newest)s::boolean order by occurred_at, seq limit %(limit)s)
