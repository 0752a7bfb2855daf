-- What anomalies are compared with and grouped to, what people say of them, and what that changes.

set local role audit_owner;

alter table audit_anomalies
    add column meaning text not null default '',
    add column risk double precision not null default 0 check (risk between 0 and 1),
    add column compared_with jsonb not null default '[]',
    add column code_version text not null default '',
    add column incident_id uuid,
    add column suppression_id uuid;
comment on column audit_anomalies.meaning is 'What an event of its kind does, in words: "an event that …".';
comment on column audit_anomalies.compared_with is 'Events by seq and row_hash that the reasons speak of, and which part each plays.';
comment on column audit_anomalies.code_version is 'The code that computed score and reasons: recomputing needs the same.';
comment on column audit_anomalies.suppression_id is 'The suppression in force when this was detected; it is counted and shown all the same.';
-- "which anomalies belong to no incident yet": few, whatever the history.
create index audit_anomalies_unassigned on audit_anomalies (tenant_id) where incident_id is null;
-- "the anomalies of this incident"
create index audit_anomalies_incident on audit_anomalies (tenant_id, incident_id);
-- "everything odd about this actor"
create index audit_anomalies_actor on audit_anomalies (tenant_id, actor_ref, occurred_at);

create table audit_incidents (
    tenant_id uuid not null,
    incident_id uuid not null,
    founding_seq bigint not null,
    state text not null check (state in ('open', 'merged', 'withdrawn')),
    merged_into uuid,
    actor_ref uuid,
    first_at timestamptz not null,
    last_at timestamptz not null,
    anomalies integer not null check (anomalies >= 0),
    suppressed integer not null check (suppressed between 0 and anomalies),
    score double precision not null check (score between 0 and 1),
    alert_score double precision check (alert_score between 0 and 1),
    alert_severity text check (alert_severity in ('low', 'medium', 'high', 'critical')),
    severity text not null check (severity in ('low', 'medium', 'high', 'critical')),
    title text not null,
    meanings jsonb not null,
    story jsonb not null,
    stale boolean not null default false,
    opened_at timestamptz not null default clock_timestamp(),
    changed_at timestamptz not null default clock_timestamp(),
    run_id text not null,
    primary key (tenant_id, incident_id),
    unique (tenant_id, founding_seq),
    check ((state = 'merged') = (merged_into is not null)),
    check ((alert_score is null) = (alert_severity is null))
);
comment on table audit_incidents is 'Anomalies of one actor close in time, told as one story; derived, by reference alone.';
comment on column audit_incidents.founding_seq is 'The event it began with when it was first seen: its id is made of it.';
comment on column audit_incidents.alert_score is 'The highest score among anomalies that no suppression covers, null for none; alert_severity likewise.';
comment on column audit_incidents.stale is 'Set when an anomaly of it changed or went; the next run tells it anew.';
-- "the incidents, newest first", and "which may need an alert"
create index audit_incidents_time on audit_incidents (tenant_id, last_at desc);
-- "which are to be told anew"
create index audit_incidents_stale on audit_incidents (tenant_id) where stale;

create table audit_verdicts (
    tenant_id uuid not null,
    verdict_id uuid not null default gen_random_uuid(),
    anomaly_id uuid not null,
    seq bigint not null,
    event_row_hash bytea not null check (length(event_row_hash) = 32),
    event_type text collate "C" not null,
    score double precision not null check (score between 0 and 1),
    verdict text not null check (verdict in ('true_positive', 'false_positive', 'benign')),
    comment text check (length(comment) between 1 and 1000),
    given_by uuid not null,
    given_at timestamptz not null default clock_timestamp(),
    ledger_seq bigint not null,
    ledger_row_hash bytea not null check (length(ledger_row_hash) = 32),
    primary key (tenant_id, verdict_id)
);
comment on table audit_verdicts is 'Every verdict anybody gave on an anomaly; of one person''s on an event the newest counts.';
comment on column audit_verdicts.comment is 'Names the case and never a person; taken away when the event''s person is erased.';
-- "what was said of this event", and "how much did this person say lately"
create index audit_verdicts_event on audit_verdicts (tenant_id, seq, given_by, given_at desc);
create index audit_verdicts_analyst on audit_verdicts (tenant_id, given_by, given_at desc);
-- "what was said since"
create index audit_verdicts_time on audit_verdicts (tenant_id, given_at);

-- History stays; of an erased person's events the words go.
create function audit_keep_verdicts() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and new.comment is null
        and (to_jsonb(new) - 'comment') = (to_jsonb(old) - 'comment')
    then
        return new;
    end if;
    raise exception '% on % is refused: a verdict is followed by another one, never changed', tg_op, tg_table_name
        using errcode = 'insufficient_privilege';
end $$;
create trigger keep_verdicts before update or delete on audit_verdicts
    for each row execute function audit_keep_verdicts();
create trigger no_truncate before truncate on audit_verdicts
    for each statement execute function audit_keep_verdicts();

create table audit_suppressions (
    tenant_id uuid not null,
    suppression_id uuid not null default gen_random_uuid(),
    actor_ref uuid,
    event_type text collate "C",
    entity_type text collate "C",
    entity_id text collate "C",
    network_index bytea check (length(network_index) in (8, 16)),
    reason text not null check (length(reason) between 1 and 1000),
    placed_by uuid not null,
    placed_at timestamptz not null default clock_timestamp(),
    ends_at timestamptz not null,
    ended_by uuid,
    ended_at timestamptz,
    primary key (tenant_id, suppression_id),
    -- One that covers everything would be a switch to turn detection off.
    check (num_nonnulls(actor_ref, event_type, entity_id, network_index) >= 1),
    check ((entity_type is null) = (entity_id is null)),
    check (ends_at > placed_at and ends_at <= placed_at + interval '90 days 1 minute'),
    check ((ended_by is null) = (ended_at is null))
);
comment on table audit_suppressions is 'Which anomalies raise no alert, until when and why; they are computed, counted and shown all the same.';
comment on column audit_suppressions.network_index is 'The keyed hash of an address (16 bytes) or of its network (8).';
comment on column audit_suppressions.reason is 'Names the case and never a person: it outlives an erasure.';

create function audit_keep_suppressions() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and old.ended_at is null
        and (to_jsonb(new) - array['ended_at', 'ended_by']) = (to_jsonb(old) - array['ended_at', 'ended_by'])
    then
        return new;
    end if;
    raise exception '% on % is refused: a suppression is ended once and never changed', tg_op, tg_table_name
        using errcode = 'insufficient_privilege';
end $$;
create trigger keep_suppressions before update or delete on audit_suppressions
    for each row execute function audit_keep_suppressions();
create trigger no_truncate before truncate on audit_suppressions
    for each statement execute function audit_keep_suppressions();

create table audit_alert_thresholds (
    tenant_id uuid not null,
    change_id uuid not null default gen_random_uuid(),
    threshold double precision not null check (threshold between 0 and 1),
    previous double precision not null check (previous between 0 and 1),
    cause text not null check (cause in ('verdicts', 'person')),
    explanation text not null,
    figures jsonb not null,
    changed_by uuid,
    changed_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, change_id),
    check ((cause = 'person') = (changed_by is not null))
);
comment on table audit_alert_thresholds is 'Every change of the score from which a tenant is alerted, and why; the newest is in force.';
create index audit_alert_thresholds_newest on audit_alert_thresholds (tenant_id, changed_at desc);
create trigger append_only before update or delete on audit_alert_thresholds
    for each row execute function audit_refuse_change();
create trigger no_truncate before truncate on audit_alert_thresholds
    for each statement execute function audit_refuse_change();

do $$
declare
    tenant_table text;
begin
    foreach tenant_table in array array[
        'audit_incidents', 'audit_verdicts', 'audit_suppressions', 'audit_alert_thresholds'
    ] loop
        execute format('alter table %I enable row level security', tenant_table);
        execute format('alter table %I force row level security', tenant_table);
        execute format(
            'create policy own_tenant on %I to audit_app, audit_reader
                 using (tenant_id = (select audit_current_tenant()))
                 with check (tenant_id = (select audit_current_tenant()))', tenant_table);
        execute format('create policy all_tenants on %I to audit_owner, audit_pipeline, audit_custodian
                            using (true) with check (true)', tenant_table);
    end loop;
end $$;

grant select on audit_incidents to audit_app, audit_pipeline, audit_reader;
grant insert, update on audit_incidents to audit_pipeline;
grant select, insert on audit_verdicts, audit_suppressions, audit_alert_thresholds to audit_app;
grant update (ended_at, ended_by) on audit_suppressions to audit_app;
grant select on audit_verdicts, audit_suppressions, audit_alert_thresholds to audit_pipeline;
grant update (comment) on audit_verdicts to audit_pipeline;
revoke execute on function audit_keep_verdicts, audit_keep_suppressions from public;
