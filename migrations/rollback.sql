-- Undoes every migration, newest first. `audit-pipelines db rollback --to N` runs the sections above version N; psql can
-- run the whole file. It deletes data: there is no way back but a backup.

-- undo 008_create_indexes
set role audit_owner;
drop index if exists audit_anomalies_time, audit_logs_actor, audit_logs_occurred_at, audit_logs_event_id;

-- undo 007_create_row_security
set role audit_owner;
do $$
declare
    item record;
begin
    for item in select tablename, policyname from pg_policies where schemaname = 'public'
                and policyname in ('own_tenant', 'all_tenants') loop
        execute format('drop policy %I on %I', item.policyname, item.tablename);
        execute format('alter table %I no force row level security', item.tablename);
        execute format('alter table %I disable row level security', item.tablename);
    end loop;
    for item in select table_name from information_schema.tables
                where table_schema = 'public' and table_name ~ '^audit_' and table_name <> 'audit_schema_migrations' loop
        execute format('revoke all on %I from audit_app, audit_pipeline, audit_reader, audit_custodian', item.table_name);
    end loop;
end $$;
revoke update (verdict, verdict_by, verdict_at) on audit_anomalies from audit_app;
revoke update (last_due_at) on audit_scheduled_reports from audit_pipeline;
revoke all on function audit_append, audit_ensure_partitions from audit_app, audit_pipeline, audit_custodian;
grant execute on function audit_append, audit_ensure_partitions to public;
drop function if exists audit_current_tenant();

-- undo 006_create_audit_access_log
set role audit_owner;
drop table if exists audit_access_log;

-- undo 005_create_audit_scheduled_reports
set role audit_owner;
drop table if exists audit_scheduled_reports;

-- undo 004_create_audit_integrations
set role audit_owner;
drop table if exists audit_alert_deliveries, audit_integrations;

-- undo 003_create_audit_ml_models
set role audit_owner;
drop table if exists audit_ml_models;

-- undo 002_create_audit_anomalies
set role audit_owner;
drop table if exists audit_anomalies;

-- undo 001_create_audit_embeddings
set role audit_owner;
drop table if exists audit_event_texts, audit_embeddings;
reset role;
do $$
begin
    drop extension if exists vector;
exception
    -- Made by somebody else, before us; it is theirs to drop.
    when insufficient_privilege then null;
end $$;

-- undo 000_create_audit_logs
set role audit_owner;
drop view if exists audit_events;
drop function if exists audit_append, audit_ensure_partitions;
drop table if exists audit_lineage, audit_legal_holds, audit_signatures, audit_users, audit_idempotency_keys,
    audit_checkpoints, audit_subjects, audit_event_ids, audit_chain_heads, audit_logs;
drop function if exists audit_refuse_change();
reset role;
revoke all on schema public from audit_owner, audit_app, audit_pipeline, audit_reader, audit_custodian;
do $$
declare
    unwanted text;
begin
    foreach unwanted in array array['audit_custodian', 'audit_reader', 'audit_pipeline', 'audit_app', 'audit_owner'] loop
        begin
            execute format('drop role if exists %I', unwanted);
        exception
            -- Roles belong to the whole server: another database still uses them.
            when dependent_objects_still_exist then null;
        end;
    end loop;
end $$;
