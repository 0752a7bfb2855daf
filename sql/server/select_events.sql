-- One page of the current tenant's events by seq. Unset filters fold away when the statement is planned for its
-- parameters, so a set one still finds its index.
with matching as not materialized (
    select tenant_id, seq, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash, occurred_at, actor_ref,
           event_type, entity_type, entity_id, outcome, ip_address, ip_index, user_agent
    from audit_logs
    where true
    -- include event_conditions
)
-- include page_of_matching
