-- Undoes every migration, newest first. `audit-pipelines db rollback --to N` runs the sections above version N; psql can
-- run the whole file. It deletes data: there is no way back but a backup.

-- undo 027_alert_on_tampering
set role audit_owner;
delete from audit_alert_deliveries where cause = 'tampering';
alter table audit_alert_deliveries drop column if exists cause;
drop table if exists audit_integrity_findings;

-- undo 025_schedule_reports
set role audit_owner;
drop table if exists audit_report_deliveries, audit_due_reports;
-- Kinds that the version below does not know, and addresses that it takes for addresses in clear.
delete from audit_scheduled_reports where kind not in ('security', 'compliance');
update audit_scheduled_reports set recipients = '{}';
alter table audit_scheduled_reports
    drop constraint if exists audit_scheduled_reports_sealed,
    drop constraint if exists audit_scheduled_reports_delivery,
    drop constraint if exists audit_scheduled_reports_person,
    drop constraint if exists audit_scheduled_reports_kind_check,
    drop column if exists person_ref, drop column if exists delivery, drop column if exists time_zone,
    add constraint audit_scheduled_reports_kind_check check (kind in ('security', 'compliance'));
comment on column audit_scheduled_reports.recipients is null;
comment on table audit_scheduled_reports is 'last_due_at is the due time already served, so each due time is served once.';
reset role;

-- undo 024_create_audit_exports
set role audit_owner;
drop table if exists audit_exports;

-- undo 023_cover_searches
set role audit_owner;
create index audit_logs_occurred_at on audit_logs (tenant_id, occurred_at);
drop index if exists audit_logs_search;
create index audit_event_texts_text on audit_event_texts (tenant_id, text_hash);
drop index if exists audit_event_texts_newest;
alter function audit_current_tenant() parallel unsafe;
reset role;

-- undo 022_record_model_decisions
set role audit_owner;
drop table if exists audit_model_decisions;
alter table audit_ml_models drop column if exists training_tree_size;
comment on table audit_ml_models is 'The newest row of a kind is the one in use; older ones explain older scores.';
reset role;

-- undo 021_deliver_alerts
set role audit_owner;
revoke select on audit_alert_deliveries from audit_app;
drop index if exists audit_alert_deliveries_due;
-- What was delivered had no anomaly of its own; the rows would name none.
delete from audit_alert_deliveries;
alter table audit_alert_deliveries
    drop column if exists delivery_id, drop column if exists incident_id, drop column if exists severity,
    drop column if exists state, drop column if exists queued_at, drop column if exists next_try_at,
    drop column if exists claimed_until, drop column if exists last_tried_at,
    add column anomaly_id uuid not null,
    add primary key (tenant_id, anomaly_id, integration_id);
comment on table audit_alert_deliveries is 'One row per alert and destination: the key is what makes delivery happen once.';
reset role;

-- undo 020_create_audit_incidents
set role audit_owner;
drop table if exists audit_alert_thresholds, audit_suppressions, audit_verdicts, audit_incidents;
drop function if exists audit_keep_suppressions, audit_keep_verdicts;
drop index if exists audit_anomalies_actor, audit_anomalies_incident, audit_anomalies_unassigned;
alter table audit_anomalies
    drop column if exists meaning, drop column if exists risk, drop column if exists compared_with, drop column if exists code_version, drop column if exists incident_id,
    drop column if exists suppression_id;
reset role;

-- undo 019_choose_embedding_models
set role audit_owner;
create or replace function audit_nearest_texts(p_model text, p_embedding vector, p_limit integer)
returns table (text_hash bytea, text text, category text, risk text, distance double precision)
language sql stable set enable_seqscan = off set jit = off as $$
    with own as materialized (
        select e.text_hash, e.text, e.category, e.risk, e.embedding <=> p_embedding as distance
        from audit_embeddings e
        where e.model = p_model
    )
    select * from own order by distance, text_hash limit p_limit
$$;
do $$
begin
    -- The version below has no row without a vector and takes the newest model's: what it would not understand goes.
    if to_regclass('audit_embedding_models') is not null then
        delete from audit_embeddings e
        where e.embedding is null
           or not exists (select from audit_embedding_models m
                          where m.tenant_id = e.tenant_id and m.model = e.model and m.in_use);
        alter table audit_embeddings alter column embedding set not null;
    end if;
end $$;
comment on column audit_embeddings.embedding is null;
drop table if exists audit_embedding_models;
reset role;

-- undo 018_join_holds_and_archives
set role audit_owner;
grant execute on function audit_keep_account, audit_keep_erasures, audit_keep_holds, audit_keep_archive to public;
create or replace function audit_archive_hold(p_tenant_id uuid, p_from timestamptz, p_to timestamptz) returns text
language plpgsql stable security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    v_reason text;
begin
    if to_regprocedure('public.audit_held(uuid, timestamptz, timestamptz)') is not null then
        execute 'select public.audit_held($1, $2, $3)::text' into v_reason using p_tenant_id, p_from, p_to;
        return case v_reason when 'false' then null when 'true' then 'a legal hold' else v_reason end;
    end if;
    select l.reason into v_reason from audit_legal_holds l
    where l.tenant_id = p_tenant_id and l.released_at is null
      and (not l.filters ? 'from' or (l.filters ->> 'from')::timestamptz <= p_to)
      and (not l.filters ? 'to' or (l.filters ->> 'to')::timestamptz >= p_from)
    order by l.placed_at limit 1;
    return v_reason;
end $$;
create or replace function audit_held(p_tenant_id uuid, p_from timestamptz, p_to timestamptz) returns boolean
language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
    select exists (
        select from audit_legal_holds h
        where h.tenant_id = p_tenant_id and h.released_at is null
          and (exists (select from audit_logs l
                       where l.tenant_id = p_tenant_id and l.recorded_at >= p_from and l.recorded_at < p_to
                         and audit_hold_covers(h.filters, l.actor_ref, l.entity_type, l.entity_id, l.occurred_at))
               or not exists (select from audit_logs l
                              where l.tenant_id = p_tenant_id and l.recorded_at >= p_from and l.recorded_at < p_to)))
$$;
create or replace function audit_hold_concerns(p_tenant_id uuid, p_filters jsonb, p_actor_ref uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
    select case
        when p_filters ? 'actor_ref' then p_filters -> 'actor_ref' @> to_jsonb(p_actor_ref::text)
        when p_filters ? 'entity_id' or p_filters ?| array['from', 'to'] then
            not exists (select from audit_logs l where l.tenant_id = p_tenant_id and l.seq = 0)
            or exists (select from audit_logs l
                       where l.tenant_id = p_tenant_id
                         and (l.actor_ref = p_actor_ref or l.entity_id = p_actor_ref::text)
                         and audit_hold_covers(p_filters, l.actor_ref, l.entity_type, l.entity_id, l.occurred_at))
        else true
    end
$$;
drop function if exists audit_hold_may_cover;
update audit_sessions set end_reason = 'disabled' where end_reason = 'erased';
alter table audit_sessions drop constraint if exists audit_sessions_end_reason_check,
    add constraint audit_sessions_end_reason_check check (end_reason in ('logout', 'password', 'disabled', 'locked'));
reset role;

-- undo 017_create_audit_archives
set role audit_owner;
do $$
begin
    -- The rows of released months are in the archive alone: without this register nothing would find them again.
    if exists (select from audit_archives where released_at is not null) then
        raise exception 'months were released to the archive; expected a database with all of its rows'
            using hint = 'Restore a backup from before the first release, or keep this version.';
    end if;
end $$;
do $$
declare
    v_text text := pg_get_functiondef('audit_append'::regproc);
begin
    execute replace(replace(v_text,
        'select i.tenant_id, i.event_id, i.seq, i.recorded_at, '
        'coalesce(l.prev_hash || l.entry_hash || l.row_hash, audit_archived_links(i.tenant_id, i.seq))',
        'select l.tenant_id, l.event_id, l.seq, l.recorded_at, l.prev_hash || l.entry_hash || l.row_hash'),
        'left join audit_logs l on l.tenant_id = i.tenant_id and l.seq = i.seq and l.recorded_at = i.recorded_at',
        'join audit_logs l on l.tenant_id = i.tenant_id and l.seq = i.seq and l.recorded_at = i.recorded_at');
end $$;
drop function if exists audit_archived_links;
drop function if exists audit_delete_archive;
drop function if exists audit_approve_deletion;
drop function if exists audit_mark_due;
drop function if exists audit_release_partition;
drop function if exists audit_keep_ids;
drop function if exists audit_archive_hold;
drop table if exists audit_archived_ids;
drop table if exists audit_archived_days;
drop table if exists audit_archive_approvals;
drop table if exists audit_archives;
drop function if exists audit_keep_archive;
revoke select on audit_legal_holds from audit_pipeline;
reset role;

-- undo 016_hold_and_certify
set role audit_owner;
drop table if exists audit_erasure_copies, audit_erasures;
drop function if exists audit_keep_erasures, audit_rewrite_subjects, audit_held;
revoke select (tenant_id, actor_ref, erased_at) on audit_subjects from audit_pipeline;
revoke select on audit_legal_holds from audit_pipeline;
alter table audit_subjects
    alter column wrapped_key set statistics -1, alter column sealed_identity set statistics -1;
create or replace function audit_erase_subject(p_actor_ref uuid)
returns table (erased_at timestamptz, erasures bigint, is_new boolean)
language plpgsql security definer set search_path = pg_catalog, public as $$
#variable_conflict use_column
declare
    v_tenant constant uuid := audit_current_tenant();
    v_erased_at timestamptz;
    v_erasures bigint;
    v_hold text;
begin
    if not exists (select from audit_subjects s where s.tenant_id = v_tenant and s.actor_ref = p_actor_ref) then
        return;
    end if;
    insert into audit_chain_heads (tenant_id, head_hash)
        values (v_tenant, sha256('audit_pipelines/v1'::bytea || uuid_send(v_tenant)))
        on conflict do nothing;
    -- As audit_append does: an append that holds the head is before this erasure, one that waits for it is after.
    select h.erasures into strict v_erasures from audit_chain_heads h where h.tenant_id = v_tenant for update;

    -- The row without a name is the tenant's own key, which everybody's indexes hang on.
    select s.erased_at into v_erased_at from audit_subjects s
    where s.tenant_id = v_tenant and s.actor_ref = p_actor_ref
      and (s.sealed_identity is not null or s.erased_at is not null);
    if not found then
        return;
    end if;
    if v_erased_at is not null then
        return query select v_erased_at, v_erasures, false;
        return;
    end if;

    -- A hold that does not name its persons may concern anybody.
    select l.reason into v_hold from audit_legal_holds l
    where l.tenant_id = v_tenant and l.released_at is null
      and (not l.filters ? 'actor_ref' or l.filters -> 'actor_ref' @> to_jsonb(p_actor_ref::text))
    order by l.placed_at limit 1;
    if found then
        raise exception 'a legal hold covers the person' using errcode = 'AU002', detail = v_hold;
    end if;

    v_erased_at := clock_timestamp();
    update audit_subjects s
    set wrapped_key = null, sealed_identity = null, erased_at = v_erased_at,
        actor_index = sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
    where s.tenant_id = v_tenant and s.actor_ref = p_actor_ref;
    update audit_chain_heads h set erasures = v_erasures + 1 where h.tenant_id = v_tenant;
    return query select v_erased_at, v_erasures + 1, true;
end $$;
drop function if exists audit_hold_concerns, audit_hold_covers;
drop trigger if exists keep_holds on audit_legal_holds;
drop trigger if exists no_truncate on audit_legal_holds;
drop function if exists audit_keep_holds;
revoke update (released_at, released_by, release_reason) on audit_legal_holds from audit_app;
alter table audit_legal_holds drop column if exists released_by, drop column if exists release_reason;
grant update on audit_legal_holds to audit_app;

-- undo 015_chain_access_log
set role audit_owner;
grant execute on function audit_refuse_change, audit_keep_anchored, audit_require_master_key to public;
do $$
declare
    definer regprocedure;
begin
    for definer in
        select p.oid from pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.prosecdef and p.proowner = 'audit_owner'::regrole
    loop
        execute format('alter function %s set search_path = pg_catalog, public', definer);
    end loop;
end $$;
drop function if exists audit_nearest_texts;
drop trigger if exists keep_access on audit_logs;
drop function if exists audit_keep_access;
drop index if exists audit_logs_access;
drop function if exists audit_is_access;
drop index if exists audit_access_log_seq, audit_access_log_subject;
alter table audit_access_log
    drop constraint if exists audit_access_log_in_chain,
    drop column if exists seq,
    drop column if exists event_id,
    drop column if exists row_hash,
    drop column if exists ip_address,
    drop column if exists ip_index,
    drop column if exists user_agent,
    alter column accessed_at set default clock_timestamp();
-- subject_ref and result_count stay nullable where a row lacks them: none of before does.
do $$
begin
    if not exists (select from audit_access_log where subject_ref is null or result_count is null) then
        alter table audit_access_log alter column subject_ref set not null, alter column result_count set not null;
    end if;
end $$;
revoke select on audit_access_log from audit_pipeline;
grant insert on audit_access_log to audit_app;

-- undo 014_create_audit_reviews
set role audit_owner;
drop table if exists audit_reviews;
revoke select on audit_signatures from audit_pipeline;
drop index if exists audit_signatures_record;
-- Without their ledger rows' hashes they would be no signatures, and could not be migrated again.
alter table audit_signatures disable trigger user;
delete from audit_signatures;
alter table audit_signatures enable trigger user;
alter table audit_signatures
    drop constraint audit_signatures_tenant_id_seq_key,
    drop constraint audit_signatures_record_kind_check,
    drop column row_hash,
    drop column session_id,
    alter column signed_at set default clock_timestamp(),
    alter column signature_id set default gen_random_uuid();

-- undo 013_create_audit_sessions
set role audit_owner;
drop table if exists audit_sessions;
revoke update (password_hash, former_hashes, password_set_at, must_change, permissions, disabled_at, failed_attempts,
               locked_until, last_login_at) on audit_users from audit_app;
drop trigger keep_account on audit_users;
drop trigger no_truncate on audit_users;
drop function if exists audit_keep_account();
-- Their logins are no text that could be put back.
delete from audit_users;
alter table audit_users
    drop constraint audit_users_tenant_id_user_id_fkey,
    drop constraint audit_users_tenant_id_login_index_key,
    drop column last_login_at,
    drop column locked_until,
    drop column failed_attempts,
    drop column must_change,
    drop column password_set_at,
    drop column former_hashes,
    drop column sealed_name,
    drop column login_index,
    add column login text collate "C" not null,
    add unique (tenant_id, login),
    alter column created_at set default clock_timestamp(),
    alter column user_id set default gen_random_uuid();
grant update on audit_users to audit_app;

-- undo 012_append_for_one_tenant
set role audit_owner;
create or replace function audit_append(
    p_tenant_id uuid[], p_count integer[], p_erasures bigint[],
    p_event_id text[], p_fingerprint bytea[], p_entry bytea[], p_occurred_at timestamptz[], p_actor_ref uuid[],
    p_event_type text[], p_entity_type text[], p_entity_id text[], p_outcome text[], p_ip_address text[],
    p_ip_index bytea[], p_user_agent text[]
) returns table (tenant_id uuid, event_id text, first_seq bigint, recorded_at timestamptz, links bytea)
language plpgsql security definer
set search_path = pg_catalog, public set plan_cache_mode = force_generic_plan set jit = off as $$
#variable_conflict use_column
declare
    v_tenants uuid[];
    v_erasures bigint[];
    v_first_seq bigint[];
    v_heads bytea[];
    v_moments timestamptz[];
    v_before integer[];
    v_known integer[];
    v_clash text[];
    v_new integer[];
    v_sum integer;
    v_seq bigint;
    v_prev bytea;
    v_stamp bytea;
    v_leaf bytea;
    v_entry_hash bytea;
    v_part bytea;
    v_links bytea := '';
begin
    if cardinality(p_tenant_id) = 0 then
        return;
    end if;

    -- A tenant's first event makes its head. New heads come before any lock: whoever has locked one waits for none.
    if (select count(*) from audit_chain_heads h where h.tenant_id = any (p_tenant_id)) < cardinality(p_tenant_id) then
        insert into audit_chain_heads (tenant_id, head_hash)
            select t, sha256('audit_pipelines/v1'::bytea || uuid_send(t)) from unnest(p_tenant_id) as t
            where not exists (select from audit_chain_heads h where h.tenant_id = t)
            order by t
            on conflict do nothing;
    end if;
    select array_agg(h.tenant_id), array_agg(h.erasures), array_agg(h.next_seq), array_agg(h.head_hash),
           array_agg(greatest(clock_timestamp(), h.recorded_at))
    into v_tenants, v_erasures, v_first_seq, v_heads, v_moments
    from (select h.tenant_id, h.erasures, h.next_seq, h.head_hash, h.recorded_at from audit_chain_heads h
          where h.tenant_id = any (p_tenant_id) order by h.tenant_id for update) as h;
    if v_tenants is distinct from p_tenant_id then
        raise exception 'each tenant must stand once, in ascending order';
    end if;
    -- Whoever sealed under keys read before an erasure may have used the destroyed one. Under the heads' locks no erasure
    -- can come between this comparison and the commit.
    if v_erasures is distinct from p_erasures then
        raise exception 'persons of a tenant were erased since the keys of this call were read'
            using errcode = 'AU001', detail = array_to_json(v_erasures)::text;
    end if;

    for attempt in 1 .. 2 loop
        v_before := '{}';
        v_sum := 0;
        for t in 1 .. cardinality(p_tenant_id) loop
            v_before := v_before || v_sum;
            v_sum := v_sum + p_count[t];
        end loop;
        -- Nearly always every id is new, and a subtransaction costs less than looking them all up.
        exit when array_remove(p_fingerprint, null) = '{}';
        begin
            insert into audit_event_ids (tenant_id, event_id, seq, recorded_at, fingerprint)
            select t.tenant_id, p_event_id[t.before + g.k], t.first_seq + g.k - 1, t.moment,
                   p_fingerprint[t.before + g.k]
            from unnest(p_tenant_id, p_count, v_before, v_first_seq, v_moments)
                as t (tenant_id, count, before, first_seq, moment)
            cross join lateral generate_series(1, t.count) as g (k)
            where p_fingerprint[t.before + g.k] is not null;
            exit;
        exception when unique_violation then
            if attempt = 2 then
                raise exception 'an event_id stands twice in one call';
            end if;
        end;

        select array_agg(t.before + g.k),
               array_agg(i.event_id order by t.before + g.k) filter (where i.fingerprint <> p_fingerprint[t.before + g.k])
        into v_known, v_clash
        from unnest(p_tenant_id, p_count, v_before) as t (tenant_id, count, before)
        cross join lateral generate_series(1, t.count) as g (k)
        join audit_event_ids i on i.tenant_id = t.tenant_id and i.event_id = p_event_id[t.before + g.k]
        where p_fingerprint[t.before + g.k] is not null;
        if v_clash is not null then
            raise exception 'event_id is already bound to other content'
                using errcode = 'unique_violation', detail = array_to_json(v_clash)::text;
        end if;
        return query
            select l.tenant_id, l.event_id, l.seq, l.recorded_at, l.prev_hash || l.entry_hash || l.row_hash
            from unnest(v_known) as o
            join unnest(p_tenant_id, p_count, v_before) as t (tenant_id, count, before)
                on o between t.before + 1 and t.before + t.count
            join audit_event_ids i on i.tenant_id = t.tenant_id and i.event_id = p_event_id[o]
            join audit_logs l on l.tenant_id = i.tenant_id and l.seq = i.seq and l.recorded_at = i.recorded_at;
        v_new := array(select generate_series(1, v_sum) except select unnest(v_known) order by 1);
        p_count := array(
            select (select count(*) from unnest(v_new) as o where o between t.before + 1 and t.before + t.count)::integer
            from unnest(p_count, v_before) with ordinality as t (count, before, ord) order by t.ord);
        select array_agg(p_event_id[o] order by o), array_agg(p_fingerprint[o] order by o),
               array_agg(p_entry[o] order by o), array_agg(p_occurred_at[o] order by o),
               array_agg(p_actor_ref[o] order by o), array_agg(p_event_type[o] order by o),
               array_agg(p_entity_type[o] order by o), array_agg(p_entity_id[o] order by o),
               array_agg(p_outcome[o] order by o), array_agg(p_ip_address[o] order by o),
               array_agg(p_ip_index[o] order by o), array_agg(p_user_agent[o] order by o)
        into p_event_id, p_fingerprint, p_entry, p_occurred_at, p_actor_ref, p_event_type, p_entity_type, p_entity_id,
             p_outcome, p_ip_address, p_ip_index, p_user_agent
        from unnest(v_new) as o;
        if p_entry is null then
            return;
        end if;
    end loop;

    for t in 1 .. cardinality(p_tenant_id) loop
        v_seq := v_first_seq[t];
        v_prev := v_heads[t];
        v_stamp := int8send((extract(epoch from v_moments[t]) * 1000000)::bigint);
        v_leaf := '\x00'::bytea || uuid_send(p_tenant_id[t]);
        v_part := v_prev;
        for i in v_before[t] + 1 .. v_before[t] + p_count[t] loop
            v_entry_hash := sha256(p_entry[i]);
            v_prev := sha256('\x02'::bytea || v_prev || sha256(v_leaf || int8send(v_seq) || v_stamp || v_entry_hash));
            v_part := v_part || v_entry_hash || v_prev;
            v_seq := v_seq + 1;
            -- Each appending copies what is there: 1,000 events at once would copy 96 MB.
            if length(v_part) > 2048 then
                v_links := v_links || v_part;
                v_part := '';
            end if;
        end loop;
        v_links := v_links || v_part;
        if to_regclass('audit_logs_' || to_char(v_moments[t] at time zone 'UTC', 'YYYYMM')) is null then
            perform audit_ensure_partitions(v_moments[t], 1);
        end if;
    end loop;

    -- Of tenant t, 32 * t bytes of heads and 64 for each event of the tenants before it precede its first event's hashes.
    insert into audit_logs (
        tenant_id, seq, recorded_at, event_id, entry, prev_hash, entry_hash, row_hash, occurred_at, actor_ref,
        event_type, entity_type, entity_id, outcome, ip_address, ip_index, user_agent)
    select t.tenant_id, t.first_seq + i, t.moment, p_event_id[i], p_entry[i],
           substring(v_links from t.place + 64 * i for 32),
           substring(v_links from t.place + 64 * i + 32 for 32),
           substring(v_links from t.place + 64 * i + 64 for 32),
           p_occurred_at[i], p_actor_ref[i], p_event_type[i], p_entity_type[i], p_entity_id[i], p_outcome[i],
           p_ip_address[i], p_ip_index[i], p_user_agent[i]
    from (select u.tenant_id, u.moment, u.before, u.count, u.first_seq - u.before - 1 as first_seq,
                 u.ord::integer * 32 - 95 as place
          from unnest(p_tenant_id, p_count, v_before, v_first_seq, v_moments)
              with ordinality as u (tenant_id, count, before, first_seq, moment, ord)) as t
    cross join lateral generate_series(t.before + 1, t.before + t.count) as i;

    return query
        update audit_chain_heads h
        set next_seq = t.first_seq + t.count, recorded_at = t.moment,
            head_hash = substring(v_links from t.place + 64 * t.count - 31 for 32)
        from (select u.*, (u.before * 64 + u.ord * 32)::integer as place
              from unnest(p_tenant_id, p_count, v_before, v_first_seq, v_moments)
                  with ordinality as u (tenant_id, count, before, first_seq, moment, ord)) as t
        where h.tenant_id = t.tenant_id and t.count > 0
        returning t.tenant_id, null::text, t.first_seq, t.moment,
                  substring(v_links from t.place - 31 for 32 + 64 * t.count);
end $$;

-- undo 011_append_by_place
set role audit_owner;
drop function if exists audit_append;
-- The one way in. Events come as parallel arrays, grouped by tenant in ascending order, with no (tenant, event_id)
-- twice. Heads are locked in tenant order, so two calls never deadlock; every hash is computed here, so a caller cannot
-- store a row whose hash lies. The call stores all of its events or raises.
--
-- p_erasures holds for each tenant, in their order, how often the tenant had erased somebody when the keys were read.
--
-- Answers one row per tenant for what was stored (event_id null; links holds entry_hash ‖ prev_hash ‖ row_hash, 96 bytes
-- an event, in the order given) and one row per event that was there already (event_id set; links of the stored row).
create function audit_append(
    p_tenant_id uuid[], p_event_id text[], p_is_client_id boolean[], p_fingerprint bytea[], p_entry bytea[],
    p_occurred_at timestamptz[], p_actor_ref uuid[], p_event_type text[], p_entity_type text[], p_entity_id text[],
    p_outcome text[], p_ip_address text[], p_ip_index bytea[], p_user_agent text[], p_erasures bigint[]
) returns table (tenant_id uuid, event_id text, first_seq bigint, recorded_at timestamptz, links bytea)
language plpgsql security definer set search_path = pg_catalog, public as $$
#variable_conflict use_column
declare
    v_count constant integer := cardinality(p_tenant_id);
    v_known text[];
    v_clash text[];
    v_erasures bigint[];
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
    -- Whoever sealed under keys read before an erasure may have used the destroyed one. Under the heads' locks no erasure
    -- can come between this comparison and the commit.
    select array_agg(h.erasures) into v_erasures
    from (select tenant_id, erasures from audit_chain_heads
          where tenant_id = any (p_tenant_id) order by tenant_id for update) h;
    if v_erasures is distinct from p_erasures then
        raise exception 'persons of a tenant were erased since the keys of this call were read'
            using errcode = 'AU001', detail = array_to_json(v_erasures)::text;
    end if;

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
revoke all on function audit_append from public;
-- The custodian writes down in the ledger what it destroys, in the same transaction.
grant execute on function audit_append to audit_app, audit_custodian;

-- undo 010_erase_and_rewrap_subjects
set role audit_owner;
drop trigger if exists master_key_in_use on audit_subjects;
drop function if exists audit_erase_subject, audit_require_master_key, audit_use_master_key, audit_rewrap_subjects;
revoke select (tenant_id, actor_ref, wrapped_key, master_key_id) on audit_subjects from audit_custodian;
drop table if exists audit_master_keys;
drop function if exists audit_append;
alter table audit_chain_heads drop column if exists erasures;
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
revoke all on function audit_append from public;
grant execute on function audit_append to audit_app;

-- undo 009_create_audit_anchorings
set role audit_owner;
drop table if exists audit_anchorings;
drop function if exists audit_keep_anchored();

-- undo 008_create_indexes
set role audit_owner;
drop index if exists audit_anomalies_time, audit_logs_actor, audit_logs_occurred_at, audit_logs_event_id;

-- undo 007_create_row_security
set role audit_owner;
do $$
declare
    item record;
begin
    for item in select tablename, policyname from pg_policies where schemaname = 'public'
                and policyname in ('own_tenant', 'all_tenants') loop
        execute format('drop policy %I on %I', item.policyname, item.tablename);
        execute format('alter table %I no force row level security', item.tablename);
        execute format('alter table %I disable row level security', item.tablename);
    end loop;
    for item in select table_name from information_schema.tables
                where table_schema = 'public' and table_name ~ '^audit_' and table_name <> 'audit_schema_migrations' loop
        execute format('revoke all on %I from audit_app, audit_pipeline, audit_reader, audit_custodian', item.table_name);
    end loop;
end $$;
revoke update (verdict, verdict_by, verdict_at) on audit_anomalies from audit_app;
revoke update (last_due_at) on audit_scheduled_reports from audit_pipeline;
revoke all on function audit_append, audit_ensure_partitions from audit_app, audit_pipeline, audit_custodian;
grant execute on function audit_append, audit_ensure_partitions to public;
drop function if exists audit_current_tenant();

-- undo 006_create_audit_access_log
set role audit_owner;
drop table if exists audit_access_log;

-- undo 005_create_audit_scheduled_reports
set role audit_owner;
drop table if exists audit_scheduled_reports;

-- undo 004_create_audit_integrations
set role audit_owner;
drop table if exists audit_alert_deliveries, audit_integrations;

-- undo 003_create_audit_ml_models
set role audit_owner;
drop table if exists audit_ml_models;

-- undo 002_create_audit_anomalies
set role audit_owner;
drop table if exists audit_anomalies;

-- undo 001_create_audit_embeddings
set role audit_owner;
drop table if exists audit_event_texts, audit_embeddings;
reset role;
do $$
begin
    drop extension if exists vector;
exception
    -- Made by somebody else, before us; it is theirs to drop.
    when insufficient_privilege then null;
end $$;

-- undo 000_create_audit_logs
set role audit_owner;
drop view if exists audit_events;
drop function if exists audit_append, audit_ensure_partitions;
drop table if exists audit_lineage, audit_legal_holds, audit_signatures, audit_users, audit_idempotency_keys,
    audit_checkpoints, audit_subjects, audit_event_ids, audit_chain_heads, audit_logs;
drop function if exists audit_refuse_change();
reset role;
revoke all on schema public from audit_owner, audit_app, audit_pipeline, audit_reader, audit_custodian;
do $$
declare
    unwanted text;
begin
    foreach unwanted in array array['audit_custodian', 'audit_reader', 'audit_pipeline', 'audit_app', 'audit_owner'] loop
        begin
            execute format('drop role if exists %I', unwanted);
        exception
            -- Roles belong to the whole server: another database still uses them.
            when dependent_objects_still_exist then null;
        end;
    end loop;
end $$;
