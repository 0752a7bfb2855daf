-- Who may see and write which rows. Row-level security is forced, so that a table's owner is bound by it as well.

set local role audit_owner;

-- The tenant of this session; unset, empty or malformed means no tenant, hence no rows, and never an error that leaks.
create function audit_current_tenant() returns uuid language sql stable set search_path = pg_catalog as $$
    select case when current_setting('app.current_tenant_id', true) ~
                     '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$'
                then current_setting('app.current_tenant_id', true)::uuid end
$$;

do $$
declare
    tenant_table text;
begin
    foreach tenant_table in array array[
        'audit_logs', 'audit_chain_heads', 'audit_event_ids', 'audit_subjects', 'audit_checkpoints',
        'audit_idempotency_keys', 'audit_users', 'audit_signatures', 'audit_legal_holds', 'audit_lineage',
        'audit_embeddings', 'audit_event_texts', 'audit_anomalies', 'audit_ml_models', 'audit_integrations',
        'audit_alert_deliveries', 'audit_scheduled_reports', 'audit_access_log'
    ] loop
        execute format('alter table %I enable row level security', tenant_table);
        execute format('alter table %I force row level security', tenant_table);
        execute format(
            'create policy own_tenant on %I to audit_app, audit_reader
                 using (tenant_id = (select audit_current_tenant()))
                 with check (tenant_id = (select audit_current_tenant()))', tenant_table);
        -- What a role may do is decided by grants; the pipeline and the security definer functions span tenants.
        execute format('create policy all_tenants on %I to audit_owner, audit_pipeline, audit_custodian
                            using (true) with check (true)', tenant_table);
    end loop;
end $$;

revoke all on function audit_append, audit_ensure_partitions from public;
grant execute on function audit_append to audit_app;
grant execute on function audit_ensure_partitions to audit_app, audit_pipeline, audit_custodian;

grant select on audit_logs, audit_events, audit_chain_heads, audit_event_ids, audit_checkpoints, audit_lineage,
    audit_embeddings, audit_event_texts, audit_anomalies, audit_ml_models
    to audit_app, audit_pipeline, audit_reader, audit_custodian;

grant select, insert on audit_subjects to audit_app;
grant select, insert on audit_access_log, audit_signatures to audit_app;
grant select, insert, delete on audit_idempotency_keys to audit_app;
grant select, insert, update on audit_users, audit_integrations, audit_scheduled_reports, audit_legal_holds to audit_app;
grant update (verdict, verdict_by, verdict_at) on audit_anomalies to audit_app;

grant insert on audit_checkpoints, audit_lineage, audit_ml_models to audit_pipeline;
grant insert, update, delete on audit_embeddings, audit_event_texts, audit_anomalies to audit_pipeline;
grant select on audit_integrations, audit_scheduled_reports to audit_pipeline;
grant update (last_due_at) on audit_scheduled_reports to audit_pipeline;
grant select, insert, update on audit_alert_deliveries to audit_pipeline;
grant select on audit_legal_holds to audit_custodian;
