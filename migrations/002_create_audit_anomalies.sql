-- Events that scored at or over the threshold, with reasons in words and the row they can be checked against.

set local role audit_owner;

create table audit_anomalies (
    tenant_id uuid not null,
    anomaly_id uuid not null default gen_random_uuid(),
    seq bigint not null,
    event_id text collate "C" not null,
    row_hash bytea not null check (length(row_hash) = 32),
    occurred_at timestamptz not null,
    actor_ref uuid,
    event_type text collate "C" not null,
    score double precision not null check (score between 0 and 1),
    severity text not null check (severity in ('low', 'medium', 'high', 'critical')),
    reasons jsonb not null,
    model_id text not null,
    run_id text not null,
    detected_at timestamptz not null default clock_timestamp(),
    verdict text check (verdict in ('true_positive', 'false_positive', 'benign')),
    verdict_by uuid,
    verdict_at timestamptz,
    primary key (tenant_id, anomaly_id),
    unique (tenant_id, seq)
);
comment on table audit_anomalies is 'Derived, and rebuilt by Dagster; the source event is (tenant_id, seq) with row_hash.';
