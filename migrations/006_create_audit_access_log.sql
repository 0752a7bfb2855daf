-- Who read what: the auditors are audited too.

set local role audit_owner;

create table audit_access_log (
    access_id bigint generated always as identity primary key,
    tenant_id uuid not null,
    accessed_at timestamptz not null default clock_timestamp(),
    subject_ref uuid not null,
    action text not null,
    filters jsonb not null,
    result_count integer not null
);
comment on table audit_access_log is 'One row per read, search, export or report; written in the read''s own transaction.';
create index audit_access_log_time on audit_access_log (tenant_id, accessed_at desc);
create trigger append_only before update or delete on audit_access_log
    for each row execute function audit_refuse_change();
create trigger no_truncate before truncate on audit_access_log
    for each statement execute function audit_refuse_change();
