-- Counting over a tenant's events without reading them, and the newest events of a text.

set local role audit_owner;

-- "how many, by whom, of which kind, from which address or network, how it ended, in these times", out of the index
-- alone. It takes the place of the narrower index of 008: events come in the order of time, so its pages fill one after
-- another, and a wider entry costs an insert little. Identifiers of entities cannot be in it: they may be longer than an
-- entry of an index, and the append of such an event must not fail.
create index audit_logs_search on audit_logs (tenant_id, occurred_at)
    include (seq, actor_ref, event_type, outcome, entity_type, ip_index);
drop index audit_logs_occurred_at;

-- "the newest events that read like this"
create index audit_event_texts_newest on audit_event_texts (tenant_id, text_hash, seq);
drop index audit_event_texts_text;

-- A count over a million rows takes half the time on two processes; without this no statement under row-level security
-- may use a second one. Settings of a session reach its workers.
alter function audit_current_tenant() parallel safe;
