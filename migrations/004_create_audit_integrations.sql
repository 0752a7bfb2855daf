-- Where alerts and reports go, and what was delivered.

set local role audit_owner;

create table audit_integrations (
    tenant_id uuid not null,
    integration_id uuid not null default gen_random_uuid(),
    kind text not null check (kind in ('slack', 'email', 'webhook')),
    name text not null,
    sealed_config text not null,
    minimum_severity text not null default 'high' check (minimum_severity in ('low', 'medium', 'high', 'critical')),
    enabled boolean not null default true,
    created_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, integration_id),
    unique (tenant_id, name)
);
comment on table audit_integrations is 'Configured destinations; sealed_config holds URLs and passwords, never in clear.';

create table audit_alert_deliveries (
    tenant_id uuid not null,
    anomaly_id uuid not null,
    integration_id uuid not null,
    attempts integer not null default 0,
    delivered_at timestamptz,
    last_error text,
    primary key (tenant_id, anomaly_id, integration_id)
);
comment on table audit_alert_deliveries is 'One row per alert and destination: the key is what makes delivery happen once.';
