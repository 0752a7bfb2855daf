-- What became of each checkpoint at each anchor: tried, failed, anchored, with the receipt.

set local role audit_owner;

-- No foreign key: the register of what left the house must outlive what it speaks of, also where somebody deletes it.
create table audit_anchorings (
    tenant_id uuid not null,
    anchor text not null,
    size bigint not null check (size >= 0),
    attempts integer not null check (attempts > 0),
    last_tried_at timestamptz not null,
    next_try_at timestamptz,
    last_error text,
    anchored_at timestamptz,
    receipt bytea,
    primary key (tenant_id, anchor, size),
    check ((anchored_at is null) = (last_error is not null)),
    check ((anchored_at is null) = (next_try_at is not null)),
    check (receipt is null or anchored_at is not null)
);
comment on table audit_anchorings is
    'One row per tenant, anchor and checkpoint tried there. An anchored row never changes; none is ever deleted.';
comment on column audit_anchorings.receipt is 'What the anchor gave back: an RFC 3161 time-stamp token, DER.';

create function audit_keep_anchored() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and old.anchored_at is null then
        return new;
    end if;
    raise exception '% on % is refused: what was anchored stays recorded', tg_op, tg_table_name
        using errcode = 'insufficient_privilege';
end $$;

create trigger keep_anchored before update or delete on audit_anchorings
    for each row execute function audit_keep_anchored();
create trigger no_truncate before truncate on audit_anchorings
    for each statement execute function audit_keep_anchored();

alter table audit_anchorings enable row level security;
alter table audit_anchorings force row level security;
create policy own_tenant on audit_anchorings to audit_app, audit_reader
    using (tenant_id = (select audit_current_tenant()))
    with check (tenant_id = (select audit_current_tenant()));
create policy all_tenants on audit_anchorings to audit_owner, audit_pipeline, audit_custodian
    using (true) with check (true);

grant select on audit_anchorings to audit_app, audit_reader, audit_pipeline;
grant insert on audit_anchorings to audit_pipeline;
grant update (attempts, last_tried_at, next_try_at, last_error, anchored_at, receipt) on audit_anchorings to audit_pipeline;
