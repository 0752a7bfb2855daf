-- Months that leave the database: what was archived of each tenant, what a dropped month leaves behind, and who approved
-- that an archive be deleted. The one path by which a ledger row can go is audit_release_partition.

set local role audit_owner;

create table audit_archives (
    tenant_id uuid not null,
    month text collate "C" not null check (month ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),
    first_seq bigint not null check (first_seq >= 0),
    last_seq bigint not null check (last_seq >= first_seq),
    first_prev_hash bytea not null check (length(first_prev_hash) = 32),
    last_row_hash bytea not null check (length(last_row_hash) = 32),
    occurred_from timestamptz not null,
    occurred_to timestamptz not null,
    file_sha256 bytea not null check (length(file_sha256) = 32),
    file_bytes bigint not null,
    manifest text not null,
    checkpoint_size bigint not null check (checkpoint_size > last_seq),
    verified_at timestamptz not null default clock_timestamp(),
    released_at timestamptz,
    due_at timestamptz check (due_at is null or released_at is not null),
    deleted_at timestamptz check (deleted_at is null or due_at is not null),
    primary key (tenant_id, month),
    unique (tenant_id, first_seq)
);
comment on table audit_archives is
    'One row per tenant and month in the archive. What is released is in the archive alone and never changes again.';
comment on column audit_archives.manifest is 'The signed manifest, as it also lies beside the segment.';
comment on column audit_archives.released_at is 'When the month''s partition was dropped; null: the rows are here too.';
comment on column audit_archives.due_at is 'When it was found older than AUDIT_ARCHIVE_YEARS: to be deleted if two approve.';

create table audit_archive_approvals (
    tenant_id uuid not null,
    month text collate "C" not null,
    approver_ref uuid not null,
    seq bigint not null,
    approved_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, month, approver_ref)
);
comment on table audit_archive_approvals is
    'Who approved that an archive be deleted; seq is the ledger row that says so. Once per person, by the primary key.';

create table audit_archived_days (
    tenant_id uuid not null,
    day date not null,
    first_seq bigint not null,
    last_seq bigint not null check (last_seq >= first_seq),
    primary key (tenant_id, first_seq)
);
comment on table audit_archived_days is 'Which rows were recorded on which UTC day, of months that are archived.';

create table audit_archived_ids (
    tenant_id uuid not null,
    first_seq bigint not null,
    last_seq bigint not null check (last_seq between first_seq and first_seq + 255),
    least_id text collate "C",
    greatest_id text collate "C",
    ids bytea not null check (length(ids) = 16 * (last_seq - first_seq + 1)),
    links bytea check (length(links) = 32 + 64 * (last_seq - first_seq + 1)),
    primary key (tenant_id, first_seq)
);
comment on table audit_archived_ids is
    'What keeps ids unique and repeats answered after a month was dropped: 16 or 80 bytes an event, 256 events a row.';
comment on column audit_archived_ids.ids is 'The id that the server made for each event, 16 bytes; zeros for a client''s.';
comment on column audit_archived_ids.links is
    'Where clients chose ids: the hash of the row before, then entry_hash ‖ row_hash of each event.';
-- Hashes do not compress, and one event's part is read without the rest.
alter table audit_archived_ids alter column ids set storage external, alter column links set storage external;
create index audit_archived_ids_id on audit_archived_ids (tenant_id, greatest_id) where greatest_id is not null;

create function audit_keep_archive() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and new.tenant_id = old.tenant_id and new.month = old.month then
        if old.released_at is null then
            return new;
        end if;
        -- Marks are set once; nothing else of a released archive changes.
        if (old.due_at is null or new.due_at is not distinct from old.due_at)
           and (old.deleted_at is null or new.deleted_at is not distinct from old.deleted_at) then
            if to_jsonb(new) - 'due_at' - 'deleted_at' = to_jsonb(old) - 'due_at' - 'deleted_at' then
                return new;
            end if;
        end if;
    end if;
    raise exception '% on % is refused: what is archived stays recorded', tg_op, tg_table_name
        using errcode = 'insufficient_privilege';
end $$;
create trigger keep_archive before update or delete on audit_archives
    for each row execute function audit_keep_archive();
create trigger no_truncate before truncate on audit_archives
    for each statement execute function audit_refuse_change();
create trigger append_only before update or delete on audit_archive_approvals
    for each row execute function audit_refuse_change();
create trigger no_truncate before truncate on audit_archive_approvals
    for each statement execute function audit_refuse_change();
create trigger append_only before update or delete on audit_archived_days
    for each row execute function audit_refuse_change();
create trigger no_truncate before truncate on audit_archived_days
    for each statement execute function audit_refuse_change();
create trigger append_only before update or delete on audit_archived_ids
    for each row execute function audit_refuse_change();
create trigger no_truncate before truncate on audit_archived_ids
    for each statement execute function audit_refuse_change();

do $$
declare
    tenant_table text;
begin
    foreach tenant_table in array array[
        'audit_archives', 'audit_archive_approvals', 'audit_archived_days', 'audit_archived_ids'
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
grant select on audit_archives, audit_archive_approvals, audit_archived_days, audit_archived_ids
    to audit_app, audit_reader, audit_pipeline, audit_custodian;
-- The job that writes archives registers them; releasing, marking and deleting is the custodian's.
grant insert (tenant_id, month, first_seq, last_seq, first_prev_hash, last_row_hash, occurred_from, occurred_to,
              file_sha256, file_bytes, manifest, checkpoint_size) on audit_archives to audit_pipeline;
grant update (first_seq, last_seq, first_prev_hash, last_row_hash, occurred_from, occurred_to, file_sha256, file_bytes,
              manifest, checkpoint_size, verified_at) on audit_archives to audit_pipeline;
grant select on audit_legal_holds to audit_pipeline;

-- Why rows of a tenant that happened or were recorded in a span must stay; null where nothing holds them. A hold that
-- names persons or things may concern any of the tenant's events, so only its times can free a month from it.
create function audit_archive_hold(p_tenant_id uuid, p_from timestamptz, p_to timestamptz) returns text
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

-- Write down which days, ids and links a registered month has; what is there already stays. Returns rows of ids.
create function audit_keep_ids(p_tenant_id uuid, p_month text) returns bigint
language plpgsql security definer set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' set jit = off as $$
declare
    v_from constant timestamptz := (p_month || '-01')::timestamptz;
    v_to constant timestamptz := v_from + interval '1 month';
    v_count bigint;
begin
    perform from audit_archives a
    where a.tenant_id = p_tenant_id and a.month = p_month and a.released_at is null for update;
    if not found then
        raise exception 'there is no archive of this month that waits for its release' using errcode = 'AU010';
    end if;
    insert into audit_archived_days (tenant_id, day, first_seq, last_seq)
    select p_tenant_id, l.recorded_at::date, min(l.seq), max(l.seq) from audit_logs l
    where l.tenant_id = p_tenant_id and l.recorded_at >= v_from and l.recorded_at < v_to
    group by l.recorded_at::date
    on conflict do nothing;
    insert into audit_archived_ids (tenant_id, first_seq, last_seq, least_id, greatest_id, ids, links)
    select p_tenant_id, min(e.seq), max(e.seq), min(e.made_id), max(e.made_id),
           string_agg(coalesce(uuid_send(e.made_id::uuid), '\x00000000000000000000000000000000'), '' order by e.seq),
           case when bool_or(e.is_chosen)
                then (array_agg(e.prev_hash order by e.seq))[1]
                     || string_agg(e.entry_hash || e.row_hash, '' order by e.seq) end
    from (select l.seq, l.prev_hash, l.entry_hash, l.row_hash, i.event_id is not null as is_chosen,
                 case when i.event_id is null and l.event_id
                           ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'
                      then l.event_id end as made_id
          from audit_logs l
          left join audit_event_ids i on i.tenant_id = l.tenant_id and i.event_id = l.event_id and i.seq = l.seq
          where l.tenant_id = p_tenant_id and l.recorded_at >= v_from and l.recorded_at < v_to) as e
    group by e.seq / 256
    on conflict do nothing;
    get diagnostics v_count = row_count;
    return v_count;
end $$;
comment on function audit_keep_ids is 'Keeps days, ids and links of a month that is about to be dropped.';

-- The one way by which rows leave the ledger: drop a month's partition. Refuses unless every tenant's rows in it are
-- registered as archived under a checkpoint that is there, begin and end with the registered hashes, have their ids
-- kept, and are held by no legal hold. All or nothing: detached, dropped and recorded in one transaction. The lock that
-- stops the ledger is asked for last, and given up after p_lock_timeout_ms.
create function audit_release_partition(p_month text, p_lock_timeout_ms integer)
returns table (rows bigint, bytes bigint)
language plpgsql security definer set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' as $$
declare
    v_name constant text := 'audit_logs_' || replace(p_month, '-', '');
    v_from constant timestamptz := (p_month || '-01')::timestamptz;
    v_to constant timestamptz := v_from + interval '1 month';
    v_tenant record;
    v_archive audit_archives;
    v_first bytea;
    v_last bytea;
    v_hold text;
    v_rows bigint := 0;
    v_bytes bigint;
begin
    if p_month !~ '^[0-9]{4}-(0[1-9]|1[0-2])$' or to_regclass('public.' || v_name) is null then
        raise exception 'there is no partition of %', p_month using errcode = 'AU010';
    end if;
    if v_to > date_trunc('month', clock_timestamp()) then
        raise exception 'the month % may still get rows', p_month using errcode = 'AU011';
    end if;
    perform set_config('lock_timeout', p_lock_timeout_ms::text, true);
    execute format('lock table public.%I in share mode', v_name);
    -- Read through the parent: row-level security is forced on the partition, and its policies are the parent's alone.
    for v_tenant in
        select l.tenant_id, count(*) as count, min(l.seq) as first_seq, max(l.seq) as last_seq from audit_logs l
        where l.recorded_at >= v_from and l.recorded_at < v_to
        group by l.tenant_id order by l.tenant_id
    loop
        select * into v_archive from audit_archives a
        where a.tenant_id = v_tenant.tenant_id and a.month = p_month for update;
        select l.prev_hash into v_first from audit_logs l
        where l.tenant_id = v_tenant.tenant_id and l.seq = v_tenant.first_seq
          and l.recorded_at >= v_from and l.recorded_at < v_to;
        select l.row_hash into v_last from audit_logs l
        where l.tenant_id = v_tenant.tenant_id and l.seq = v_tenant.last_seq
          and l.recorded_at >= v_from and l.recorded_at < v_to;
        if v_archive.tenant_id is null or v_archive.released_at is not null
           or (v_archive.first_seq, v_archive.last_seq, v_archive.first_prev_hash, v_archive.last_row_hash)
              is distinct from (v_tenant.first_seq, v_tenant.last_seq, v_first, v_last)
           or v_tenant.count <> v_tenant.last_seq - v_tenant.first_seq + 1 then
            raise exception 'the rows of tenant % in % are not archived as they are', v_tenant.tenant_id, p_month
                using errcode = 'AU012';
        end if;
        if not exists (select from audit_checkpoints c where c.tenant_id = v_tenant.tenant_id
                       and c.size = v_archive.checkpoint_size
                       and strpos(v_archive.manifest, to_json(c.note)::text) > 0) then
            raise exception 'no checkpoint covers the archive of tenant % of %', v_tenant.tenant_id, p_month
                using errcode = 'AU012';
        end if;
        if v_tenant.count is distinct from (
               select sum(k.last_seq - k.first_seq + 1) from audit_archived_ids k
               where k.tenant_id = v_tenant.tenant_id
                 and k.first_seq between v_tenant.first_seq and v_tenant.last_seq)
           or v_tenant.count is distinct from (
               select sum(d.last_seq - d.first_seq + 1) from audit_archived_days d
               where d.tenant_id = v_tenant.tenant_id
                 and d.first_seq between v_tenant.first_seq and v_tenant.last_seq) then
            raise exception 'the ids of tenant % in % are not kept', v_tenant.tenant_id, p_month
                using errcode = 'AU012';
        end if;
        v_hold := audit_archive_hold(v_tenant.tenant_id, least(v_from, v_archive.occurred_from),
                                     greatest(v_to, v_archive.occurred_to));
        if v_hold is not null then
            raise exception 'a legal hold covers rows of tenant % in %', v_tenant.tenant_id, p_month
                using errcode = 'AU002', detail = v_hold;
        end if;
        update audit_archives a set released_at = clock_timestamp()
        where a.tenant_id = v_tenant.tenant_id and a.month = p_month;
        v_rows := v_rows + v_tenant.count;
    end loop;
    -- A partition that never had a row has no page: whatever hides rows from this function must not make it seem empty.
    if v_rows = 0 and pg_relation_size(('public.' || v_name)::regclass) > 0 then
        raise exception 'the partition of % has pages and shows no rows', p_month using errcode = 'AU012';
    end if;
    v_bytes := pg_total_relation_size(('public.' || v_name)::regclass);
    execute format('alter table audit_logs detach partition public.%I', v_name);
    execute format('drop table public.%I', v_name);
    return query select v_rows, v_bytes;
end $$;
comment on function audit_release_partition is
    'Drops a month whose rows are archived, verified, under a checkpoint and under no hold; the only way rows leave.';

-- Mark released archives of months that ended by p_before, unless they are held, as due for deletion.
create function audit_mark_due(p_before timestamptz) returns bigint
language plpgsql security definer set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' as $$
declare
    v_count bigint;
begin
    update audit_archives a set due_at = clock_timestamp()
    where a.released_at is not null and a.due_at is null
      and (a.month || '-01')::timestamptz + interval '1 month' <= p_before
      and audit_archive_hold(a.tenant_id, least((a.month || '-01')::timestamptz, a.occurred_from),
                             greatest((a.month || '-01')::timestamptz + interval '1 month', a.occurred_to)) is null;
    get diagnostics v_count = row_count;
    return v_count;
end $$;

-- Record that a person approved the deletion of an archive of the session's tenant. Refuses what is not due, what is
-- held, and a person who approved before.
create function audit_approve_deletion(p_month text, p_approver_ref uuid, p_seq bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' as $$
declare
    v_tenant constant uuid := audit_current_tenant();
    v_archive audit_archives;
    v_hold text;
begin
    select * into v_archive from audit_archives a
    where a.tenant_id = v_tenant and a.month = p_month and a.due_at is not null and a.deleted_at is null for update;
    if not found then
        raise exception 'no archive of this month is due for deletion' using errcode = 'AU010';
    end if;
    v_hold := audit_archive_hold(v_tenant, least((p_month || '-01')::timestamptz, v_archive.occurred_from),
                                 greatest((p_month || '-01')::timestamptz + interval '1 month', v_archive.occurred_to));
    if v_hold is not null then
        raise exception 'a legal hold covers the archive' using errcode = 'AU002', detail = v_hold;
    end if;
    if exists (select from audit_archive_approvals p
               where p.tenant_id = v_tenant and p.month = p_month and p.approver_ref = p_approver_ref) then
        raise exception 'this person approved before; expected another one' using errcode = 'AU013';
    end if;
    insert into audit_archive_approvals (tenant_id, month, approver_ref, seq)
    values (v_tenant, p_month, p_approver_ref, p_seq);
    return (select count(*) from audit_archive_approvals p where p.tenant_id = v_tenant and p.month = p_month);
end $$;

-- Record that an archive of the session's tenant is deleted; who is answered may then delete its file. Refuses fewer
-- than two approvals, and what is held.
create function audit_delete_archive(p_month text) returns timestamptz
language plpgsql security definer set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' as $$
declare
    v_tenant constant uuid := audit_current_tenant();
    v_archive audit_archives;
    v_hold text;
begin
    select * into v_archive from audit_archives a
    where a.tenant_id = v_tenant and a.month = p_month and a.due_at is not null and a.deleted_at is null for update;
    if not found then
        raise exception 'no archive of this month is due for deletion' using errcode = 'AU010';
    end if;
    if (select count(distinct p.approver_ref) from audit_archive_approvals p
        where p.tenant_id = v_tenant and p.month = p_month) < 2 then
        raise exception 'expected the approval of two persons' using errcode = 'AU014';
    end if;
    v_hold := audit_archive_hold(v_tenant, least((p_month || '-01')::timestamptz, v_archive.occurred_from),
                                 greatest((p_month || '-01')::timestamptz + interval '1 month', v_archive.occurred_to));
    if v_hold is not null then
        raise exception 'a legal hold covers the archive' using errcode = 'AU002', detail = v_hold;
    end if;
    update audit_archives a set deleted_at = clock_timestamp() where a.tenant_id = v_tenant and a.month = p_month
        returning a.deleted_at into v_archive.deleted_at;
    -- Which text an event renders to is made of the event.
    delete from audit_event_texts t
    where t.tenant_id = v_tenant and t.seq between v_archive.first_seq and v_archive.last_seq;
    return v_archive.deleted_at;
end $$;
comment on function audit_delete_archive is 'Records the deletion of an archive that two persons approved.';

-- The hashes prev_hash ‖ entry_hash ‖ row_hash of a row whose month was dropped.
create function audit_archived_links(p_tenant_id uuid, p_seq bigint) returns bytea
language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
    select substring(k.links from (64 * (p_seq - k.first_seq) + 1)::integer for 96)
    from audit_archived_ids k
    where k.tenant_id = p_tenant_id and k.first_seq between p_seq - 255 and p_seq and k.last_seq >= p_seq
$$;

revoke all on function audit_archive_hold, audit_keep_ids, audit_release_partition, audit_mark_due,
    audit_approve_deletion, audit_delete_archive, audit_archived_links from public;
grant execute on function audit_archive_hold to audit_pipeline, audit_custodian;
grant execute on function audit_keep_ids, audit_release_partition, audit_mark_due, audit_approve_deletion,
    audit_delete_archive to audit_custodian;

-- A repeated event_id is answered with its first receipt also after its month was dropped. The function is patched and
-- not written anew, so that this holds for whatever version of it is there; anything but one such place is an error.
do $$
declare
    v_text text := pg_get_functiondef('audit_append'::regproc);
    v_before constant text :=
        'select l.tenant_id, l.event_id, l.seq, l.recorded_at, l.prev_hash || l.entry_hash || l.row_hash';
    v_join constant text :=
        'join audit_logs l on l.tenant_id = i.tenant_id and l.seq = i.seq and l.recorded_at = i.recorded_at';
    v_after constant text :=
        'select i.tenant_id, i.event_id, i.seq, i.recorded_at, '
        'coalesce(l.prev_hash || l.entry_hash || l.row_hash, audit_archived_links(i.tenant_id, i.seq))';
begin
    if array_length(string_to_array(v_text, v_before), 1) <> 2 or array_length(string_to_array(v_text, v_join), 1) <> 2
    then
        raise exception 'audit_append is not the version that this migration knows how to extend';
    end if;
    execute replace(replace(v_text, v_before, v_after), v_join, 'left ' || v_join);
end $$;
