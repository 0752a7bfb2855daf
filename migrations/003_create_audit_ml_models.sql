-- Every model that ever scored an event: what it was trained on, with what, and the digest of its artefact.

set local role audit_owner;

create table audit_ml_models (
    tenant_id uuid not null,
    model_id text not null,
    kind text not null check (kind in ('anomaly_detector', 'category_classifier', 'risk_classifier')),
    artefact_digest bytea not null check (length(artefact_digest) = 32),
    artefact_path text not null,
    training_rows bigint not null,
    training_first_seq bigint,
    training_last_seq bigint,
    training_from timestamptz,
    training_to timestamptz,
    training_root bytea,
    parameters jsonb not null,
    metrics jsonb not null,
    code_version text not null,
    run_id text not null,
    trained_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, model_id)
);
comment on table audit_ml_models is 'The newest row of a kind is the one in use; older ones explain older scores.';
comment on column audit_ml_models.training_root is 'Root of the checkpoint that covers the training rows.';
create index audit_ml_models_newest on audit_ml_models (tenant_id, kind, trained_at desc);
create trigger append_only before update or delete on audit_ml_models
    for each row execute function audit_refuse_change();
create trigger no_truncate before truncate on audit_ml_models
    for each statement execute function audit_refuse_change();
