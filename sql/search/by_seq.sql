-- Events by their seqs, in the order given.
select l.tenant_id, l.seq, l.recorded_at, l.event_id, l.entry, l.entry_hash, l.prev_hash, l.row_hash, l.occurred_at,
       l.actor_ref, l.event_type, l.entity_type, l.entity_id, l.outcome, l.ip_address, l.ip_index, l.user_agent, 1 as found
from unnest(%(seqs)s::bigint[]) with ordinality as g (seq, ord)
join audit_logs l on l.seq = g.seq
order by g.ord
