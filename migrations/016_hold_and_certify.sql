-- Legal holds that are placed, shown and released, and erasures that are followed to the last copy and certified.

set local role audit_owner;

-- Holds: what a hold covers is in its filters, of one kind each: {} the tenant, {"actor_ref"} a person,
-- {"entity_type", "entity_id"} an entity, {"from", "to"} a range of occurred_at. Filters of any other form cover all.
alter table audit_legal_holds add column released_by uuid, add column release_reason text;
comment on column audit_legal_holds.reason is 'Names the case and never a person: it outlives an erasure.';
revoke update on audit_legal_holds from audit_app;
grant update (released_at, released_by, release_reason) on audit_legal_holds to audit_app;

create function audit_keep_holds() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and old.released_at is null
        and (new.tenant_id, new.hold_id, new.reason, new.filters, new.placed_by, new.placed_at)
            is not distinct from (old.tenant_id, old.hold_id, old.reason, old.filters, old.placed_by, old.placed_at)
    then
        return new;
    end if;
    raise exception '% on % is refused: a hold is released once and never deleted', tg_op, tg_table_name
        using errcode = 'insufficient_privilege';
end $$;
create trigger keep_holds before update or delete on audit_legal_holds
    for each row execute function audit_keep_holds();
create trigger no_truncate before truncate on audit_legal_holds
    for each statement execute function audit_keep_holds();

create function audit_hold_covers(
    p_filters jsonb, p_actor_ref uuid, p_entity_type text, p_entity_id text, p_occurred_at timestamptz
) returns boolean language sql stable set search_path = pg_catalog as $$
    select case
        when p_filters ? 'actor_ref' then
            coalesce(p_filters -> 'actor_ref' @> to_jsonb(p_actor_ref::text), false)
            or p_filters -> 'actor_ref' @> to_jsonb(p_entity_id)
        when p_filters ? 'entity_id' then
            p_filters ->> 'entity_type' = p_entity_type and p_filters ->> 'entity_id' = p_entity_id
        when p_filters ?| array['from', 'to'] then
            p_occurred_at >= coalesce((p_filters ->> 'from')::timestamptz, '-infinity')
            and p_occurred_at < coalesce((p_filters ->> 'to')::timestamptz, 'infinity')
        else true
    end
$$;
comment on function audit_hold_covers is 'Whether a hold with these filters covers an event with these columns.';

-- Whether anything that a tenant's ledger recorded from p_from to before p_to is under hold. Rows that are not in the
-- ledger any more cannot be looked at, so a stretch without rows counts as held while the tenant has any hold.
create function audit_held(p_tenant_id uuid, p_from timestamptz, p_to timestamptz) returns boolean
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
comment on function audit_held is 'Whether what a tenant recorded in a stretch of time may not be deleted; asked by retention.';

-- Whether a hold with these filters keeps a person from being erased: it names them, or it covers an event of theirs, or
-- events of theirs may have left the ledger, so that nobody can tell.
create function audit_hold_concerns(p_tenant_id uuid, p_filters jsonb, p_actor_ref uuid) returns boolean
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
comment on function audit_hold_concerns is 'Whether a hold with these filters forbids erasing a person.';

create or replace function audit_erase_subject(p_actor_ref uuid)
returns table (erased_at timestamptz, erasures bigint, is_new boolean)
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
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
    -- As audit_append does: an append that holds the head is before this erasure, one that waits for it is after. So is a
    -- hold, which is placed together with the event that says so.
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

    select l.reason into v_hold from audit_legal_holds l
    where l.tenant_id = v_tenant and l.released_at is null
      and audit_hold_concerns(v_tenant, l.filters, p_actor_ref)
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

-- An update leaves the old row, wrapped key and sealed name, in its page until something else is written over it, and
-- VACUUM only marks its place as free. Clustering writes the living rows into a new file and drops the old one.
create function audit_rewrite_subjects() returns void
language plpgsql security definer set search_path = pg_catalog, public, pg_temp set lock_timeout = '5s' as $$
begin
    cluster audit_subjects using audit_subjects_pkey;
    -- The statistics may hold the destroyed index.
    analyze audit_subjects;
end $$;
comment on function audit_rewrite_subjects is
    'Writes the vault''s rows into a new file, so that no page keeps what an erasure took away; locks the vault meanwhile.';

-- The planner's statistics would keep copies of a hundred keys and names, and nobody searches by them. Those of the index
-- it needs: without, looking up a thousand persons among 200,000 reads the whole table.
alter table audit_subjects
    alter column wrapped_key set statistics 0, alter column sealed_identity set statistics 0;

create table audit_erasures (
    tenant_id uuid not null,
    actor_ref uuid not null,
    erased_at timestamptz not null,
    seq bigint not null,
    row_hash bytea not null check (length(row_hash) = 32),
    requested_by uuid,
    request_index bytea check (length(request_index) = 32),
    certificate text,
    certified_at timestamptz,
    primary key (tenant_id, actor_ref),
    check ((certificate is null) = (certified_at is null))
);
comment on table audit_erasures is
    'One row per erasure, from the transaction that destroyed the key; without a certificate, derived copies remain.';
comment on column audit_erasures.request_index is
    'Keyed hash of the name that was asked for, so that asking again is answered; forgotten after 30 days.';

create table audit_erasure_copies (
    tenant_id uuid not null,
    actor_ref uuid not null,
    kind text not null,
    key text not null,
    action text not null check (action in ('pending', 'rebuilt', 'purged', 'kept')),
    reason text not null,
    digest_before bytea check (length(digest_before) = 32),
    digest_after bytea check (length(digest_after) = 32),
    done_at timestamptz,
    primary key (tenant_id, actor_ref, kind, key),
    check ((action = 'pending') = (done_at is null))
);
comment on table audit_erasure_copies is 'What was done with each copy derived from an erased person''s events, and why.';

create function audit_keep_erasures() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and tg_table_name = 'audit_erasures' then
        if (new.tenant_id, new.actor_ref, new.erased_at, new.seq, new.row_hash, new.requested_by)
               is not distinct from (old.tenant_id, old.actor_ref, old.erased_at, old.seq, old.row_hash, old.requested_by)
           and (old.certificate is null or (new.certificate, new.certified_at) = (old.certificate, old.certified_at))
           and (new.request_index is null or new.request_index = old.request_index)
        then
            return new;
        end if;
    elsif tg_op = 'UPDATE' then
        if exists (select from audit_erasures e
                   where e.tenant_id = old.tenant_id and e.actor_ref = old.actor_ref and e.certificate is null)
        then
            return new;
        end if;
    end if;
    raise exception '% on % is refused: what was certified stays', tg_op, tg_table_name
        using errcode = 'insufficient_privilege';
end $$;

do $$
declare
    tenant_table text;
begin
    foreach tenant_table in array array['audit_erasures', 'audit_erasure_copies'] loop
        execute format('create trigger keep_erasures before update or delete on %I
                            for each row execute function audit_keep_erasures()', tenant_table);
        execute format('create trigger no_truncate before truncate on %I
                            for each statement execute function audit_keep_erasures()', tenant_table);
        execute format('alter table %I enable row level security', tenant_table);
        execute format('alter table %I force row level security', tenant_table);
        execute format('create policy own_tenant on %I to audit_app
                            using (tenant_id = (select audit_current_tenant()))
                            with check (tenant_id = (select audit_current_tenant()))', tenant_table);
        execute format('create policy all_tenants on %I to audit_owner, audit_pipeline, audit_custodian
                            using (true) with check (true)', tenant_table);
    end loop;
end $$;

grant select on audit_erasures, audit_erasure_copies to audit_app, audit_pipeline, audit_custodian;
grant insert on audit_erasures, audit_erasure_copies to audit_custodian;
grant update (request_index, certificate, certified_at) on audit_erasures to audit_custodian;
grant update (action, reason, digest_before, digest_after, done_at) on audit_erasure_copies to audit_custodian;
-- What the lake, texts and models are made of leaves out persons who are erased; nothing else of the vault is seen.
grant select (tenant_id, actor_ref, erased_at) on audit_subjects to audit_pipeline;
grant select on audit_legal_holds to audit_pipeline;

revoke all on function audit_hold_covers, audit_held, audit_hold_concerns, audit_rewrite_subjects from public;
grant execute on function audit_hold_covers to audit_app, audit_pipeline, audit_custodian;
grant execute on function audit_held to audit_pipeline, audit_custodian;
grant execute on function audit_hold_concerns, audit_rewrite_subjects to audit_custodian;
