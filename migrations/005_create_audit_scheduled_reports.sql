-- Reports that people want at set times.

set local role audit_owner;

create table audit_scheduled_reports (
    tenant_id uuid not null,
    report_id uuid not null default gen_random_uuid(),
    kind text not null check (kind in ('security', 'compliance')),
    cron text not null,
    recipients text[] not null default '{}',
    enabled boolean not null default true,
    last_due_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, report_id)
);
comment on table audit_scheduled_reports is 'last_due_at is the due time already served, so each due time is served once.';
