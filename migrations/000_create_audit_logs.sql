-- The ledger: rows, heads, client-chosen ids, persons and checkpoints; the roles that may touch them.

do $$
declare
    wanted text;
begin
    foreach wanted in array array['audit_owner', 'audit_app', 'audit_pipeline', 'audit_reader', 'audit_custodian'] loop
        begin
            execute format('create role %I nologin noinherit', wanted);
        exception
            -- Roles belong to the whole server: another database may have made them, or is making them right now.
            when duplicate_object or unique_violation then null;
        end;
        if not pg_has_role(current_user, wanted, 'set') then
            execute format('grant %I to current_user with inherit false, set true', wanted);
        end if;
    end loop;
end $$;

grant usage, create on schema public to audit_owner;
grant usage on schema public to audit_app, audit_pipeline, audit_reader, audit_custodian;

set local role audit_owner;

create table audit_logs (
    tenant_id uuid not null,
    seq bigint not null check (seq >= 0),
    recorded_at timestamptz not null,
    event_id text collate "C" not null,
    entry bytea not null,
    entry_hash bytea not null check (length(entry_hash) = 32),
    prev_hash bytea not null check (length(prev_hash) = 32),
    row_hash bytea not null check (length(row_hash) = 32),
    occurred_at timestamptz not null,
    actor_ref uuid,
    event_type text collate "C" not null,
    entity_type text collate "C" not null,
    entity_id text collate "C" not null,
    outcome text collate "C",
    ip_address text collate "C",
    ip_index bytea,
    user_agent text collate "C"
) partition by range (recorded_at);

comment on table audit_logs is
    'One hash-chained row per event. Written by audit_append alone; never updated, never deleted row by row.';
comment on column audit_logs.entry is 'The exact bytes that were hashed: deterministic JSON, UTF-8.';
comment on column audit_logs.recorded_at is 'When the ledger took the event; never decreases with seq within a tenant.';
comment on column audit_logs.occurred_at is 'When the event happened, by the source''s clock.';
comment on column audit_logs.ip_address is 'Sealed under the actor''s key; never an address in clear.';
comment on column audit_logs.ip_index is 'Keyed hash: the first 8 bytes of the network, the last 8 of the full address.';

create table audit_chain_heads (
    tenant_id uuid primary key,
    next_seq bigint not null default 0,
    head_hash bytea not null check (length(head_hash) = 32),
    recorded_at timestamptz not null default '-infinity'
);
comment on table audit_chain_heads is 'The end of each tenant''s chain; its row lock is what orders appends.';

create table audit_event_ids (
    tenant_id uuid not null,
    event_id text collate "C" not null,
    seq bigint not null,
    recorded_at timestamptz not null,
    fingerprint bytea not null check (length(fingerprint) = 16),
    primary key (tenant_id, event_id)
);
comment on table audit_event_ids is
    'Ids that clients chose, unique for ever: an index on a partitioned table cannot promise that across partitions.';
comment on column audit_event_ids.fingerprint is
    'Keyed hash of the content before sealing: tells a retry (same) from a clash (other content under the same id).';

create table audit_subjects (
    tenant_id uuid not null,
    actor_ref uuid not null,
    actor_index bytea not null check (length(actor_index) = 32),
    sealed_identity text,
    wrapped_key bytea,
    master_key_id text not null,
    created_at timestamptz not null default clock_timestamp(),
    erased_at timestamptz,
    primary key (tenant_id, actor_ref),
    check ((wrapped_key is null) = (erased_at is not null))
);
comment on table audit_subjects is
    'Persons and services behind references. Erasing one is destroying wrapped_key; no hash of the ledger changes.';
-- An erased person who acts again is a new subject, so only the living are unique.
create unique index audit_subjects_living on audit_subjects (tenant_id, actor_index) where erased_at is null;

create table audit_checkpoints (
    tenant_id uuid not null,
    size bigint not null check (size >= 0),
    root bytea not null check (length(root) = 32),
    chain_head bytea not null check (length(chain_head) = 32),
    frontier bytea not null,
    note text not null,
    key_id text not null,
    sealed_at timestamptz not null,
    primary key (tenant_id, size)
);
comment on table audit_checkpoints is 'Signed tree heads (C2SP signed notes); the same notes lie in every anchor.';
comment on column audit_checkpoints.frontier is 'The right edge of the Merkle tree: the next checkpoint costs new rows only.';

create function audit_refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% on % is refused: its rows are append-only', tg_op, tg_table_name
        using errcode = 'insufficient_privilege';
end $$;

create trigger append_only before update or delete on audit_logs
    for each row execute function audit_refuse_change();
create trigger no_truncate before truncate on audit_logs
    for each statement execute function audit_refuse_change();
create trigger append_only before update or delete on audit_event_ids
    for each row execute function audit_refuse_change();
create trigger no_truncate before truncate on audit_event_ids
    for each statement execute function audit_refuse_change();
create trigger append_only before update or delete on audit_checkpoints
    for each row execute function audit_refuse_change();
create trigger no_truncate before truncate on audit_checkpoints
    for each statement execute function audit_refuse_change();

-- Make the monthly partitions from the given month on. Attaching a finished table takes a weaker lock on the parent
-- than CREATE TABLE … PARTITION OF, so readers and writers of other months go on.
create function audit_ensure_partitions(first_month timestamptz, months integer) returns integer
language plpgsql security definer set search_path = pg_catalog, public set timezone = 'UTC' as $$
declare
    month_start timestamptz;
    partition_name text;
    made integer := 0;
begin
    for offset_months in 0 .. months loop
        month_start := date_trunc('month', first_month) + make_interval(months => offset_months);
        partition_name := 'audit_logs_' || to_char(month_start, 'YYYYMM');
        continue when to_regclass(partition_name) is not null;
        perform pg_advisory_xact_lock(hashtext('audit_ensure_partitions'));
        continue when to_regclass(partition_name) is not null;
        execute format('create table public.%I (like audit_logs including defaults including constraints)', partition_name);
        execute format('alter table public.%I enable row level security', partition_name);
        execute format('alter table public.%I force row level security', partition_name);
        execute format('create unique index on public.%I (tenant_id, seq)', partition_name);
        execute format(
            'create trigger no_truncate before truncate on public.%I for each statement execute function audit_refuse_change()',
            partition_name);
        execute format('alter table audit_logs attach partition public.%I for values from (%L) to (%L)',
            partition_name, month_start, month_start + interval '1 month');
        made := made + 1;
    end loop;
    return made;
end $$;
comment on function audit_ensure_partitions is
    'Makes missing monthly partitions; called by migrations, by retention_job and by audit_append when a month is new.';
select audit_ensure_partitions(clock_timestamp(), 3);

-- The one way in. Events come as parallel arrays, grouped by tenant in ascending order, with no (tenant, event_id)
-- twice. Heads are locked in tenant order, so two calls never deadlock; every hash is computed here, so a caller cannot
-- store a row whose hash lies. The call stores all of its events or raises.
--
-- Answers one row per tenant for what was stored (event_id null; links holds entry_hash ‖ prev_hash ‖ row_hash, 96 bytes
-- an event, in the order given) and one row per event that was there already (event_id set; links of the stored row).
create function audit_append(
    p_tenant_id uuid[], p_event_id text[], p_is_client_id boolean[], p_fingerprint bytea[], p_entry bytea[],
    p_occurred_at timestamptz[], p_actor_ref uuid[], p_event_type text[], p_entity_type text[], p_entity_id text[],
    p_outcome text[], p_ip_address text[], p_ip_index bytea[], p_user_agent text[]
) returns table (tenant_id uuid, event_id text, first_seq bigint, recorded_at timestamptz, links bytea)
language plpgsql security definer set search_path = pg_catalog, public as $$
#variable_conflict use_column
declare
    v_count constant integer := cardinality(p_tenant_id);
    v_known text[];
    v_clash text[];
    v_tenant uuid;
    v_seq bigint;
    v_prev bytea;
    v_now timestamptz;
    v_previous_moment timestamptz;
    v_stamp bytea;
    v_entry_hash bytea;
    v_links bytea := '';
    v_tenants uuid[] := '{}';
    v_first_ord integer[] := '{}';
    v_first_seq bigint[] := '{}';
    v_moments timestamptz[] := '{}';
begin
    if v_count is null or v_count = 0 then
        return;
    end if;

    insert into audit_chain_heads (tenant_id, head_hash)
        select t, sha256('audit_pipelines/v1'::bytea || uuid_send(t))
        from (select distinct unnest(p_tenant_id) as t order by t) as named
        where not exists (select from audit_chain_heads h where h.tenant_id = t)
        order by t
        on conflict do nothing;
    perform from audit_chain_heads h where h.tenant_id = any (p_tenant_id) order by h.tenant_id for update;

    if true = any (p_is_client_id) then
        select array_agg(g.tenant_id || ' ' || g.event_id),
               array_agg(g.event_id order by g.ord) filter (where i.fingerprint <> g.fingerprint)
        into v_known, v_clash
        from unnest(p_tenant_id, p_event_id, p_is_client_id, p_fingerprint)
            with ordinality as g (tenant_id, event_id, is_client_id, fingerprint, ord)
        join audit_event_ids i on i.tenant_id = g.tenant_id and i.event_id = g.event_id
        where g.is_client_id;
        if v_clash is not null then
            raise exception 'event_id is already bound to other content'
                using errcode = 'unique_violation', detail = array_to_json(v_clash)::text;
        end if;
    end if;

    if v_known is not null then
        return query
            select l.tenant_id, l.event_id, l.seq, l.recorded_at, l.entry_hash || l.prev_hash || l.row_hash
            from unnest(p_tenant_id, p_event_id, p_is_client_id) as g (tenant_id, event_id, is_client_id)
            join audit_event_ids i on i.tenant_id = g.tenant_id and i.event_id = g.event_id
            join audit_logs l on l.tenant_id = i.tenant_id and l.seq = i.seq and l.recorded_at = i.recorded_at
            where g.is_client_id;
        select array_agg(g.a order by g.ord), array_agg(g.b order by g.ord), array_agg(g.c order by g.ord),
               array_agg(g.d order by g.ord), array_agg(g.e order by g.ord), array_agg(g.f order by g.ord),
               array_agg(g.g order by g.ord), array_agg(g.h order by g.ord), array_agg(g.i order by g.ord),
               array_agg(g.j order by g.ord), array_agg(g.k order by g.ord), array_agg(g.l order by g.ord),
               array_agg(g.m order by g.ord), array_agg(g.n order by g.ord)
        into p_tenant_id, p_event_id, p_is_client_id, p_fingerprint, p_entry, p_occurred_at, p_actor_ref,
             p_event_type, p_entity_type, p_entity_id, p_outcome, p_ip_address, p_ip_index, p_user_agent
        from unnest(p_tenant_id, p_event_id, p_is_client_id, p_fingerprint, p_entry, p_occurred_at, p_actor_ref,
                    p_event_type, p_entity_type, p_entity_id, p_outcome, p_ip_address, p_ip_index, p_user_agent)
            with ordinality as g (a, b, c, d, e, f, g, h, i, j, k, l, m, n, ord)
        where not (g.c and (g.a || ' ' || g.b) = any (v_known));
        if p_tenant_id is null then
            return;
        end if;
    end if;

    -- Hashes are collected in one bytea: assigning to array elements in this loop is a quarter slower.
    for i in 1 .. cardinality(p_tenant_id) loop
        if p_tenant_id[i] is distinct from v_tenant then
            if v_tenant is not null then
                if p_tenant_id[i] < v_tenant then
                    raise exception 'events must be grouped by tenant in ascending order';
                end if;
                update audit_chain_heads h set next_seq = v_seq, head_hash = v_prev, recorded_at = v_now
                where h.tenant_id = v_tenant;
            end if;
            v_tenant := p_tenant_id[i];
            select h.next_seq, h.head_hash, h.recorded_at into strict v_seq, v_prev, v_previous_moment
            from audit_chain_heads h where h.tenant_id = v_tenant;
            v_now := greatest(clock_timestamp(), v_previous_moment);
            v_stamp := int8send((extract(epoch from v_now) * 1000000)::bigint);
            v_tenants := v_tenants || v_tenant;
            v_first_ord := v_first_ord || i;
            v_first_seq := v_first_seq || v_seq;
            v_moments := v_moments || v_now;
        end if;
        v_entry_hash := sha256(p_entry[i]);
        v_links := v_links || v_entry_hash || v_prev;
        v_prev := sha256('\x02'::bytea || v_prev || sha256(
            '\x00'::bytea || uuid_send(v_tenant) || int8send(v_seq) || v_stamp || v_entry_hash));
        v_links := v_links || v_prev;
        v_seq := v_seq + 1;
    end loop;
    update audit_chain_heads h set next_seq = v_seq, head_hash = v_prev, recorded_at = v_now
    where h.tenant_id = v_tenant;

    foreach v_now in array v_moments loop
        if to_regclass('audit_logs_' || to_char(v_now at time zone 'UTC', 'YYYYMM')) is null then
            perform audit_ensure_partitions(v_now, 1);
        end if;
    end loop;

    insert into audit_logs (
        tenant_id, seq, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash, occurred_at, actor_ref,
        event_type, entity_type, entity_id, outcome, ip_address, ip_index, user_agent)
    select g.tenant_id, t.first_seq + g.ord - t.first_ord, t.moment, g.event_id, g.entry,
           substring(v_links from ((g.ord - 1) * 96 + 1)::integer for 32),
           substring(v_links from ((g.ord - 1) * 96 + 33)::integer for 32),
           substring(v_links from ((g.ord - 1) * 96 + 65)::integer for 32),
           g.occurred_at, g.actor_ref, g.event_type, g.entity_type, g.entity_id, g.outcome, g.ip_address, g.ip_index,
           g.user_agent
    from unnest(p_tenant_id, p_event_id, p_entry, p_occurred_at, p_actor_ref, p_event_type, p_entity_type,
                p_entity_id, p_outcome, p_ip_address, p_ip_index, p_user_agent)
        with ordinality as g (tenant_id, event_id, entry, occurred_at, actor_ref, event_type, entity_type, entity_id,
                              outcome, ip_address, ip_index, user_agent, ord)
    join unnest(v_tenants, v_first_ord, v_first_seq, v_moments) as t (tenant_id, first_ord, first_seq, moment)
        on t.tenant_id = g.tenant_id;

    insert into audit_event_ids (tenant_id, event_id, seq, recorded_at, fingerprint)
    select g.tenant_id, g.event_id, t.first_seq + g.ord - t.first_ord, t.moment, g.fingerprint
    from unnest(p_tenant_id, p_event_id, p_is_client_id, p_fingerprint)
        with ordinality as g (tenant_id, event_id, is_client_id, fingerprint, ord)
    join unnest(v_tenants, v_first_ord, v_first_seq, v_moments) as t (tenant_id, first_ord, first_seq, moment)
        on t.tenant_id = g.tenant_id
    where g.is_client_id;

    return query
        select t.tenant_id, null::text, t.first_seq, t.moment,
               substring(v_links from (t.first_ord - 1) * 96 + 1
                         for (coalesce(lead(t.first_ord) over (order by t.first_ord), cardinality(p_tenant_id) + 1)
                              - t.first_ord) * 96)
        from unnest(v_tenants, v_first_ord, v_first_seq, v_moments) as t (tenant_id, first_ord, first_seq, moment);
end $$;
comment on function audit_append is 'The only writer of audit_logs; see docs/ledger_format.md for the hashes.';

create view audit_events with (security_invoker = true) as
    select tenant_id, seq, recorded_at, event_id, occurred_at, actor_ref, event_type, entity_type, entity_id, outcome,
           ip_address, encode(ip_index, 'hex') as ip_index, user_agent,
           convert_from(entry, 'UTF8')::json -> 'details' as details, encode(row_hash, 'hex') as row_hash
    from audit_logs;
comment on view audit_events is 'The ledger as people read it; details are shown out of the hashed entry, not stored twice.';

create table audit_idempotency_keys (
    tenant_id uuid not null,
    key text collate "C" not null,
    request_hash bytea not null check (length(request_hash) = 32),
    response jsonb not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, key)
);
comment on table audit_idempotency_keys is 'Answers already given, by Idempotency-Key; kept for 24 hours.';

create table audit_users (
    tenant_id uuid not null,
    user_id uuid not null default gen_random_uuid(),
    login text collate "C" not null,
    password_hash text not null,
    permissions text[] not null default '{}',
    disabled_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, user_id),
    unique (tenant_id, login)
);
comment on table audit_users is 'Local accounts.';

create table audit_signatures (
    tenant_id uuid not null,
    signature_id uuid not null default gen_random_uuid(),
    record_kind text not null,
    record_id text not null,
    record_hash bytea not null check (length(record_hash) = 32),
    signer_ref uuid not null,
    meaning text not null check (meaning in ('authored', 'reviewed', 'approved', 'responsible')),
    signed_at timestamptz not null default clock_timestamp(),
    seq bigint not null,
    primary key (tenant_id, signature_id)
);
comment on table audit_signatures is 'Electronic signatures (21 CFR 11.50); seq is the ledger row that holds each.';
create trigger append_only before update or delete on audit_signatures
    for each row execute function audit_refuse_change();
create trigger no_truncate before truncate on audit_signatures
    for each statement execute function audit_refuse_change();

create table audit_legal_holds (
    tenant_id uuid not null,
    hold_id uuid not null default gen_random_uuid(),
    reason text not null,
    filters jsonb not null default '{}',
    placed_by uuid not null,
    placed_at timestamptz not null default clock_timestamp(),
    released_at timestamptz,
    primary key (tenant_id, hold_id)
);
comment on table audit_legal_holds is 'What may be neither erased nor deleted, and why.';

create table audit_lineage (
    lineage_id bigint generated always as identity primary key,
    tenant_id uuid not null,
    output_kind text not null,
    output_key text not null,
    output_digest bytea not null check (length(output_digest) = 32),
    inputs jsonb not null,
    code_version text not null,
    model_id text,
    run_id text not null,
    recorded_at timestamptz not null default clock_timestamp()
);
comment on table audit_lineage is
    'What each derived artefact was made of. Dagster''s event log is no evidence: deleting a run deletes it.';
create index audit_lineage_output on audit_lineage (tenant_id, output_kind, output_key, lineage_id desc);
create trigger append_only before update or delete on audit_lineage
    for each row execute function audit_refuse_change();
create trigger no_truncate before truncate on audit_lineage
    for each statement execute function audit_refuse_change();
