-- Events by their seqs, in the order given, as many as max_bytes of entries hold, one at least.
select tenant_id, seq, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash, occurred_at, actor_ref, event_type,
       entity_type, entity_id, outcome, ip_address, ip_index, user_agent, 1 as found
from (
    select l.*, g.ord, sum(octet_length(l.entry)) over (order by g.ord rows unbounded preceding) as bytes
    from unnest(%(seqs)s::bigint[]) with ordinality as g (seq, ord)
    join audit_logs l on l.seq = g.seq
) as listed
where ord = 1 or bytes <= %(max_bytes)s
order by ord
