-- Secondary indexes of the ledger. Each costs every insert, so each names the question it answers.

set local role audit_owner;

-- "this event": ids made by the server have no row in audit_event_ids.
create index audit_logs_event_id on audit_logs (tenant_id, event_id);
-- "what happened between these times"
create index audit_logs_occurred_at on audit_logs (tenant_id, occurred_at);
-- "what did this actor do"
create index audit_logs_actor on audit_logs (tenant_id, actor_ref, occurred_at);
-- "the open anomalies, newest first"
create index audit_anomalies_time on audit_anomalies (tenant_id, occurred_at desc);
