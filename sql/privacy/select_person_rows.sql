-- A person's events, and those of others that have sealed values or name the person, with what classifiers say of each;
-- who they are about is found out when they are opened.
select l.seq, l.recorded_at, l.event_id, l.entry, l.entry_hash, l.prev_hash, l.row_hash, l.occurred_at, l.actor_ref,
       l.event_type, l.entity_type, l.entity_id, l.outcome, l.ip_address, l.user_agent, e.category, e.risk
from audit_logs l
left join lateral (
    select e.category, e.risk from audit_event_texts t
    join audit_embedding_models m on m.tenant_id = t.tenant_id and m.in_use
    join audit_embeddings e on e.tenant_id = t.tenant_id and e.text_hash = t.text_hash and e.model = m.model
    where t.tenant_id = l.tenant_id and t.seq = l.seq and l.actor_ref = %(actor_ref)s) e on true
where l.tenant_id = %(tenant_id)s
  and (l.actor_ref = %(actor_ref)s or l.entity_id = %(actor_ref)s::text
       or position('"$sealed"'::bytea in l.entry) > 0
       or lower(convert_from(l.entry, 'UTF8')) like any (%(names)s::text[]))
order by l.seq
