-- Reports at set times: a row for every due time, which says whether its report was made, and one for everybody it is
-- sent to.

set local role audit_owner;

-- Nothing was ever sent to them, and addresses stay sealed from here on.
update audit_scheduled_reports set recipients = '{}';
alter table audit_scheduled_reports
    drop constraint audit_scheduled_reports_kind_check,
    add constraint audit_scheduled_reports_kind_check
        check (kind in ('security', 'compliance', 'access_review', 'person')),
    add column time_zone text not null default 'UTC',
    add column delivery text not null default 'link' check (delivery in ('link', 'file')),
    add column person_ref uuid,
    add constraint audit_scheduled_reports_person check ((kind = 'person') = (person_ref is not null)),
    -- What names people is fetched by those who may see it.
    add constraint audit_scheduled_reports_delivery check (delivery = 'link' or kind in ('security', 'compliance')),
    add constraint audit_scheduled_reports_sealed check (array_to_string(recipients, ' ') !~ '@');
comment on table audit_scheduled_reports is
    'Reports wanted at set times; last_due_at is how far their due times are queued, so each is queued once.';
comment on column audit_scheduled_reports.recipients is 'Addresses, each sealed under a key of the tenant.';
comment on column audit_scheduled_reports.person_ref is 'Whom a per-person report is about.';

create table audit_due_reports (
    tenant_id uuid not null,
    report_id uuid not null,
    due_at timestamptz not null,
    since timestamptz not null check (since < due_at),
    state text not null default 'waiting' check (state in ('waiting', 'making', 'made', 'failed')),
    attempts integer not null default 0,
    next_try_at timestamptz not null,
    claimed_until timestamptz,
    run_id text,
    output_kind text,
    output_key text,
    output_digest bytea check (length(output_digest) = 32),
    made_at timestamptz,
    last_error text,
    primary key (tenant_id, report_id, due_at),
    foreign key (tenant_id, report_id) references audit_scheduled_reports (tenant_id, report_id),
    check ((state = 'making') = (claimed_until is not null)),
    check ((state = 'made') = (output_digest is not null and output_key is not null and made_at is not null))
);
comment on table audit_due_reports is
    'One row per scheduled report and due time: the key is what queues it once; the claim is what has one run make it.';
create index audit_due_reports_open on audit_due_reports (due_at) where state in ('waiting', 'making');

create table audit_report_deliveries (
    tenant_id uuid not null,
    delivery_id uuid not null default gen_random_uuid(),
    report_id uuid not null,
    due_at timestamptz not null,
    recipient_index bytea not null check (length(recipient_index) = 32),
    sealed_recipient text check (sealed_recipient !~ '@'),
    state text not null check (state in ('waiting', 'sending', 'delivered', 'dead', 'not configured')),
    attempts integer not null default 0,
    queued_at timestamptz not null,
    next_try_at timestamptz not null,
    claimed_until timestamptz,
    last_tried_at timestamptz,
    delivered_at timestamptz,
    last_error text,
    primary key (tenant_id, report_id, due_at, recipient_index),
    unique (tenant_id, delivery_id),
    foreign key (tenant_id, report_id, due_at) references audit_due_reports (tenant_id, report_id, due_at),
    check ((state = 'delivered') = (delivered_at is not null)),
    check ((state = 'sending') = (claimed_until is not null)),
    check (sealed_recipient is not null or state not in ('waiting', 'sending'))
);
comment on table audit_report_deliveries is
    'One row per due report and recipient: the key is what queues a message once; the claim is what sends it by one process.';
comment on column audit_report_deliveries.delivery_id is 'Is in the Message-ID, the same at every attempt.';
comment on column audit_report_deliveries.recipient_index is 'Keyed hash of the address under the tenant''s key; outlives an erasure.';
comment on column audit_report_deliveries.sealed_recipient is 'The address, sealed under a key of the tenant; null after its erasure.';
create index audit_report_deliveries_due on audit_report_deliveries (next_try_at) where state in ('waiting', 'sending');

do $$
declare
    tenant_table text;
begin
    foreach tenant_table in array array['audit_due_reports', 'audit_report_deliveries'] loop
        execute format('alter table %I enable row level security', tenant_table);
        execute format('alter table %I force row level security', tenant_table);
        execute format(
            'create policy own_tenant on %I to audit_app
                 using (tenant_id = (select audit_current_tenant()))
                 with check (tenant_id = (select audit_current_tenant()))', tenant_table);
        execute format('create policy all_tenants on %I to audit_owner, audit_pipeline
                            using (true) with check (true)', tenant_table);
    end loop;
end $$;
grant select, insert on audit_due_reports to audit_app;
-- For an erasure: the address goes, and what waited for it is given up.
grant select, update (sealed_recipient, state, claimed_until, last_error) on audit_report_deliveries to audit_app;
grant update (state, claimed_until, last_error) on audit_due_reports to audit_app;
grant select, insert, update on audit_due_reports, audit_report_deliveries to audit_pipeline;
