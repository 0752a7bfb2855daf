-- Electronic signatures as they are made, and the daily reviews that are signed.

set local role audit_owner;

alter table audit_signatures
    alter column signature_id drop default,
    alter column signed_at drop default,
    add column session_id uuid not null,
    add column row_hash bytea not null check (length(row_hash) = 32),
    add check (record_kind in ('event', 'report', 'review', 'erasure')),
    add unique (tenant_id, seq);
comment on column audit_signatures.record_hash is 'row_hash of an event or an erasure''s event, SHA-256 of a file or a review.';
comment on column audit_signatures.seq is 'The ledger row that says the same: without it, the signature is not valid.';
comment on column audit_signatures.row_hash is 'Of that ledger row.';
comment on column audit_signatures.signed_at is 'When the ledger took that row.';
-- "who signed this record"
create index audit_signatures_record on audit_signatures (tenant_id, record_kind, record_id);
grant select on audit_signatures to audit_pipeline;

create table audit_reviews (
    tenant_id uuid not null,
    day date not null,
    content bytea not null,
    digest bytea not null check (digest = sha256(content)),
    made_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, day)
);
comment on table audit_reviews is 'What there was to look at on a UTC day, as deterministic JSON; people sign its digest.';
create trigger append_only before update or delete on audit_reviews
    for each row execute function audit_refuse_change();
create trigger no_truncate before truncate on audit_reviews
    for each statement execute function audit_refuse_change();
alter table audit_reviews enable row level security;
alter table audit_reviews force row level security;
create policy own_tenant on audit_reviews to audit_app, audit_reader
    using (tenant_id = (select audit_current_tenant()))
    with check (tenant_id = (select audit_current_tenant()));
create policy all_tenants on audit_reviews to audit_owner, audit_pipeline
    using (true) with check (true);
grant select on audit_reviews to audit_app, audit_reader, audit_pipeline;
grant insert on audit_reviews to audit_pipeline;
