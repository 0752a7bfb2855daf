-- Alerts that leave: one row per alert and destination, claimed before it is sent and tried again until it arrives.

set local role audit_owner;

-- Nothing ever wrote to this table before. An alert is an incident that reached a severity: one that grows graver is
-- told again, one that only grows is not.
alter table audit_alert_deliveries
    drop constraint audit_alert_deliveries_pkey,
    drop column anomaly_id,
    add column delivery_id uuid not null default gen_random_uuid(),
    add column incident_id uuid not null,
    add column severity text not null check (severity in ('low', 'medium', 'high', 'critical')),
    add column state text not null default 'waiting' check (state in ('waiting', 'sending', 'delivered', 'dead')),
    add column queued_at timestamptz not null default clock_timestamp(),
    add column next_try_at timestamptz not null default clock_timestamp(),
    add column claimed_until timestamptz,
    add column last_tried_at timestamptz,
    add primary key (tenant_id, incident_id, severity, integration_id),
    add unique (tenant_id, delivery_id),
    add check ((state = 'delivered') = (delivered_at is not null)),
    add check ((state = 'sending') = (claimed_until is not null));
comment on table audit_alert_deliveries is
    'One row per alert and destination: the key is what queues an alert once; the claim is what sends it by one process.';
comment on column audit_alert_deliveries.delivery_id is 'Sent as Idempotency-Key, the same at every attempt.';
-- "what is due": what was delivered or given up is not in it.
create index audit_alert_deliveries_due on audit_alert_deliveries (next_try_at) where state in ('waiting', 'sending');

grant select on audit_alert_deliveries to audit_app;
