-- Which model is in use and why: a row for every decision about one, and the size of the checkpoint over its training.

set local role audit_owner;

alter table audit_ml_models add column training_tree_size bigint check (training_tree_size > training_last_seq);
comment on column audit_ml_models.training_tree_size is
    'Events under the newest checkpoint when it was trained, whose root is training_root; null where none covered its rows.';
comment on table audit_ml_models is
    'Every model that was trained. Which one is in use is decided in audit_model_decisions; the others explain old scores.';

create table audit_model_decisions (
    tenant_id uuid not null,
    decision_id bigint generated always as identity,
    model_id text not null,
    kind text not null check (kind in ('anomaly_detector', 'category_classifier', 'risk_classifier')),
    used boolean not null,
    reason text not null check (length(reason) between 1 and 2000),
    decided_by text not null check (decided_by in ('training', 'operator')),
    compared_with text,
    figures jsonb not null,
    run_id text not null,
    decided_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, decision_id),
    foreign key (tenant_id, model_id) references audit_ml_models (tenant_id, model_id),
    foreign key (tenant_id, compared_with) references audit_ml_models (tenant_id, model_id)
);
comment on table audit_model_decisions is
    'The newest row of a kind with used says which model is in use; the newest of a model, whether it may be.';
comment on column audit_model_decisions.figures is
    'What was measured on one split: of the model in question, of the one it was compared with, and what may differ.';
create index audit_model_decisions_newest on audit_model_decisions (tenant_id, kind, decision_id desc);
create trigger append_only before update or delete on audit_model_decisions
    for each row execute function audit_refuse_change();
create trigger no_truncate before truncate on audit_model_decisions
    for each statement execute function audit_refuse_change();

alter table audit_model_decisions enable row level security;
alter table audit_model_decisions force row level security;
create policy own_tenant on audit_model_decisions to audit_app, audit_reader
    using (tenant_id = (select audit_current_tenant())) with check (tenant_id = (select audit_current_tenant()));
create policy all_tenants on audit_model_decisions to audit_owner, audit_pipeline, audit_custodian
    using (true) with check (true);
grant select on audit_model_decisions to audit_app, audit_reader, audit_pipeline, audit_custodian;
grant insert on audit_model_decisions to audit_pipeline;
