-- Finding what was done to one thing, and what came from one address, without reading every event of a tenant.

set local role audit_owner;

-- By the digest of an identifier: an identifier may be longer than an entry of an index (1,024 characters against 2,704
-- bytes), and the append of such an event must not fail. md5 is leakproof, so row-level security lets the index decide.
create index audit_logs_entity on audit_logs (tenant_id, md5(entity_id));

-- With the index of addresses in it, questions by address are counted like others: out of this index alone.
drop index audit_logs_search;
create index audit_logs_search on audit_logs (tenant_id, occurred_at)
    include (seq, actor_ref, event_type, outcome, entity_type, ip_index);
