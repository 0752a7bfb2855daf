-- Counting what came from one address or network without reading the events.

set local role audit_owner;

-- With the index of addresses in it, 16 bytes that are there or not, questions by address are answered like others: out
-- of this index alone. Identifiers of entities cannot be in it: they may be longer than an entry of an index, and the
-- append of such an event must not fail.
drop index audit_logs_search;
create index audit_logs_search on audit_logs (tenant_id, occurred_at)
    include (seq, actor_ref, event_type, outcome, entity_type, ip_index);
