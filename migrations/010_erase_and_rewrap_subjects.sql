-- Erasing a person and changing the master key: the two changes a row of audit_subjects may undergo, each by a function
-- of its own. Nobody has UPDATE or DELETE on the table.

set local role audit_owner;

alter table audit_chain_heads add column erasures bigint not null default 0;
comment on column audit_chain_heads.erasures is
    'How many persons of the tenant were erased; an append whose keys were read at another count is refused.';

drop function audit_append;
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

-- Destroy the key of a person of the session's tenant. One row: when it was done, the tenant's count of erasures, and
-- whether this call did it; no row for a reference that is no person's. The index is destroyed as well: with it, whoever
-- has the tenant's key could still ask whether a given name is behind the reference.
create function audit_erase_subject(p_actor_ref uuid)
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
comment on function audit_erase_subject is
    'Destroys a person''s key, name and index, unless a legal hold covers the person; the only way to do so.';

create table audit_master_keys (
    master_key_id text collate "C" primary key,
    introduced_at timestamptz not null default clock_timestamp(),
    retired_at timestamptz
);
comment on table audit_master_keys is 'Names of the keys that wrap the keys of persons; never a key. One is in use.';
create unique index audit_master_keys_in_use on audit_master_keys ((true)) where retired_at is null;
insert into audit_master_keys (master_key_id)
    select master_key_id from audit_subjects where wrapped_key is not null
    group by master_key_id order by count(*) desc limit 1;
alter table audit_master_keys enable row level security;
alter table audit_master_keys force row level security;
create policy all_tenants on audit_master_keys to audit_owner, audit_pipeline, audit_custodian
    using (true) with check (true);
grant select on audit_master_keys to audit_custodian;

-- A process that missed a rotation must not wrap another key in the master key that is about to be destroyed. The share
-- lock makes the rotation wait for those who asked before it.
create function audit_require_master_key() returns trigger
language plpgsql security definer set search_path = pg_catalog, public as $$
declare
    v_in_use text;
begin
    insert into audit_master_keys (master_key_id)
        select min(n.master_key_id) from new_subjects n having count(*) > 0
        and not exists (select from audit_master_keys)
        on conflict do nothing;
    select m.master_key_id into v_in_use from audit_master_keys m where m.retired_at is null for share;
    if exists (select from new_subjects n where n.master_key_id is distinct from v_in_use) then
        raise exception 'a new subject''s key must be wrapped in the master key that is in use'
            using errcode = 'AU003', detail = v_in_use;
    end if;
    return null;
end $$;
create trigger master_key_in_use after insert on audit_subjects
    referencing new table as new_subjects
    for each statement execute function audit_require_master_key();

-- Name the master key that new keys are wrapped in from now on. When it returns, no key wrapped in another is on its way.
create function audit_use_master_key(p_master_key_id text) returns void
language plpgsql security definer set search_path = pg_catalog, public as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('audit_master_keys', 0));
    update audit_master_keys set retired_at = clock_timestamp()
    where retired_at is null and master_key_id <> p_master_key_id;
    insert into audit_master_keys (master_key_id) values (p_master_key_id)
        on conflict (master_key_id) do update set retired_at = null where audit_master_keys.retired_at is not null;
end $$;

-- Put the same keys in other wrapping. Each row changes only if it still has the wrapping that the caller opened, so an
-- erasure meanwhile stays one; a caller without the master keys can destroy a wrapping here but never open or forge one.
create function audit_rewrap_subjects(
    p_tenant_id uuid[], p_actor_ref uuid[], p_former_key bytea[], p_wrapped_key bytea[], p_master_key_id text
) returns bigint
language plpgsql security definer set search_path = pg_catalog, public as $$
declare
    v_count bigint;
begin
    if not exists (select from audit_master_keys where master_key_id = p_master_key_id and retired_at is null) then
        raise exception 'expected the master key that is in use' using errcode = 'AU003';
    end if;
    update audit_subjects s set wrapped_key = g.wrapped_key, master_key_id = p_master_key_id
    from unnest(p_tenant_id, p_actor_ref, p_former_key, p_wrapped_key)
        as g (tenant_id, actor_ref, former_key, wrapped_key)
    where s.tenant_id = g.tenant_id and s.actor_ref = g.actor_ref and s.wrapped_key = g.former_key
      and g.wrapped_key is not null;
    get diagnostics v_count = row_count;
    return v_count;
end $$;
comment on function audit_rewrap_subjects is 'Replaces wrapped keys by the same keys wrapped in the master key in use.';

revoke all on function audit_erase_subject, audit_require_master_key, audit_use_master_key, audit_rewrap_subjects
    from public;
grant execute on function audit_erase_subject, audit_use_master_key, audit_rewrap_subjects to audit_custodian;
-- No name and no index: what is needed to open a wrapping and make another.
grant select (tenant_id, actor_ref, wrapped_key, master_key_id) on audit_subjects to audit_custodian;
