-- audit_append for one tenant, which nearly every call has: its head is read, locked and moved by plain statements.
--
-- CPU of the database for a call of one event goes from 440 to 330 µs and of four from 540 to 420 (2 cores, PostgreSQL 18):
-- counting heads, gathering them into arrays and joining them back took 130.

set local role audit_owner;

-- The one way in. p_tenant_id holds each tenant once, in ascending order, p_count how many events it has here, p_erasures
-- how often it had erased somebody when the keys were read; the other arrays hold the events, tenant by tenant. No
-- event_id stands twice within a tenant. A fingerprint is null where the server made the event_id.
--
-- Heads are locked in tenant order, so two calls never deadlock; every hash is computed here, so a caller cannot store a
-- row whose hash lies. The call stores all of its events or raises.
--
-- Answers one row per tenant that something was stored for (event_id null; links holds the hash of the row before, then
-- entry_hash ‖ row_hash for each event in the order given) and one row per event that was there already (event_id set;
-- links holds prev_hash ‖ entry_hash ‖ row_hash of the stored row).
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
    v_erased bigint;
    v_moment timestamptz;
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

    -- Nearly every call has one tenant; what several take costs a third of such a call's time.
    if cardinality(p_tenant_id) = 1 then
        loop
            select h.erasures, h.next_seq, h.head_hash, h.recorded_at into v_erased, v_seq, v_prev, v_moment
            from audit_chain_heads h where h.tenant_id = p_tenant_id[1] for update;
            exit when found;
            insert into audit_chain_heads (tenant_id, head_hash)
            values (p_tenant_id[1], sha256('audit_pipelines/v1'::bytea || uuid_send(p_tenant_id[1])))
            on conflict do nothing;
        end loop;
        v_tenants := p_tenant_id;
        v_erasures := array[v_erased];
        v_first_seq := array[v_seq];
        v_heads := array[v_prev];
        v_moments := array[greatest(clock_timestamp(), v_moment)];
    else
        -- A tenant's first event makes its head. New heads come before any lock: whoever has locked one waits for none.
        if (select count(*) from audit_chain_heads h where h.tenant_id = any (p_tenant_id))
           < cardinality(p_tenant_id) then
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
    end if;
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

    if cardinality(p_tenant_id) = 1 then
        update audit_chain_heads h set next_seq = v_seq, recorded_at = v_moments[1], head_hash = v_prev
        where h.tenant_id = p_tenant_id[1];
        tenant_id := p_tenant_id[1];
        first_seq := v_first_seq[1];
        recorded_at := v_moments[1];
        links := v_links;
        return next;
        return;
    end if;
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
