-- A verification that finds a ledger changed tells the tenant's destinations, by the same queue as incidents.

set local role audit_owner;

create table audit_integrity_findings (
    tenant_id uuid not null,
    finding_id uuid not null default gen_random_uuid(),
    alert_id uuid not null,
    kind text not null,
    seq bigint,
    what text not null,
    found_at timestamptz not null default clock_timestamp(),
    seen_at timestamptz not null default clock_timestamp(),
    gone_at timestamptz,
    run_id text not null,
    primary key (tenant_id, finding_id)
);
comment on table audit_integrity_findings is
    'What verifications by jobs found changed in a ledger: a note for people, no evidence; that is the ledger and its anchors.';
comment on column audit_integrity_findings.alert_id is 'Findings that were new in one verification are told as one alert.';
comment on column audit_integrity_findings.gone_at is 'When a whole verification first missed it; found after that, it is told again.';
create unique index audit_integrity_findings_open on audit_integrity_findings (tenant_id, kind, coalesce(seq, -1))
    where gone_at is null;
create index audit_integrity_findings_alert on audit_integrity_findings (tenant_id, alert_id);

alter table audit_alert_deliveries
    add column cause text not null default 'incident' check (cause in ('incident', 'tampering'));
comment on column audit_alert_deliveries.cause is
    'Whose id incident_id is: of audit_incidents, or for tampering the alert_id of audit_integrity_findings.';

alter table audit_integrity_findings enable row level security;
alter table audit_integrity_findings force row level security;
create policy own_tenant on audit_integrity_findings to audit_app, audit_reader
    using (tenant_id = (select audit_current_tenant())) with check (tenant_id = (select audit_current_tenant()));
create policy all_tenants on audit_integrity_findings to audit_owner, audit_pipeline, audit_custodian
    using (true) with check (true);
grant select on audit_integrity_findings to audit_app, audit_pipeline, audit_reader;
grant insert, update on audit_integrity_findings to audit_pipeline;
