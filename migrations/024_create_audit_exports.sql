-- Exports: one row per export that was made, and per one that waits, is being made in the background, or lies ready.

set local role audit_owner;

create table audit_exports (
    tenant_id uuid not null,
    export_id uuid not null,
    format text not null check (format in ('csv', 'ndjson', 'parquet', 'pdf', 'evidence')),
    state text not null check (state in ('waiting', 'running', 'ready', 'streamed', 'broken', 'failed', 'cancelled', 'expired')),
    requested_ref uuid not null,
    with_names boolean not null,
    asked jsonb not null,
    sealed_question text,
    head_seq bigint not null check (head_seq >= -1),
    rows_total bigint check (rows_total >= 0),
    rows_done bigint not null default 0 check (rows_done >= 0),
    bytes bigint,
    sha256 bytea check (length(sha256) = 32),
    seq bigint,
    error text check (length(error) <= 500),
    attempts integer not null default 0,
    created_at timestamptz not null default clock_timestamp(),
    claimed_until timestamptz,
    finished_at timestamptz,
    expires_at timestamptz,
    primary key (tenant_id, export_id),
    check ((state = 'running') = (claimed_until is not null)),
    check ((state in ('waiting', 'running')) = (sealed_question is not null)),
    check ((state in ('waiting', 'running')) = (finished_at is null)),
    check (state not in ('ready', 'streamed') or (sha256 is not null and seq is not null)),
    check (state <> 'ready' or expires_at is not null)
);
comment on table audit_exports is
    'Exports made, waiting and ready. The claim has one process make a file; whoever comes next takes up a claim that ran out.';
comment on column audit_exports.asked is 'The filters as the access log has them: references and keyed hashes.';
comment on column audit_exports.sealed_question is 'What a job needs to run, under the tenant''s key; gone once it has ended.';
comment on column audit_exports.head_seq is 'The last row of the ledger when it was asked for: nothing later is in the file.';
comment on column audit_exports.seq is 'The ledger row of the event audit.export.made, which has the same digest.';
-- "what is to be made, and what has come to its end": ended rows are not in it.
create index audit_exports_open on audit_exports (created_at) where state in ('waiting', 'running', 'ready');

alter table audit_exports enable row level security;
alter table audit_exports force row level security;
create policy own_tenant on audit_exports to audit_app
    using (tenant_id = (select audit_current_tenant())) with check (tenant_id = (select audit_current_tenant()));
create policy all_tenants on audit_exports to audit_owner, audit_pipeline using (true) with check (true);
grant select, insert on audit_exports to audit_app;
grant select, delete on audit_exports to audit_pipeline;
grant update (state, sealed_question, rows_total, rows_done, bytes, sha256, seq, error, attempts, claimed_until,
              finished_at, expires_at) on audit_exports to audit_app, audit_pipeline;
